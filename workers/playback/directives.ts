import { z } from "zod";

const whole = z
  .string()
  .regex(/^\d{1,9}$/, "a whole number")
  .transform(Number)
  .nullable()
  .default(null);

/** The delivery directives of a media playlist request, rfc8216bis §6.2.5. Other query parameters are not ours, and never reach a cache key. */
export const DeliveryDirectives = z.object({
  _HLS_msn: whole,
  _HLS_part: whole,
  _HLS_skip: z
    .enum(["YES", "v2"])
    .optional()
    .transform((skip) => skip !== undefined),
});
export type DeliveryDirectives = z.output<typeof DeliveryDirectives>;

/** The canonical query of directives: known keys in a fixed order. */
export function encodeDirectives({ _HLS_msn: msn, _HLS_part: part, _HLS_skip: skip }: DeliveryDirectives): string {
  const pairs = [];
  if (msn !== null) pairs.push(`_HLS_msn=${msn}`);
  if (part !== null) pairs.push(`_HLS_part=${part}`);
  if (skip) pairs.push("_HLS_skip=YES");
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}
