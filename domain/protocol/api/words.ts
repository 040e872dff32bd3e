import { z } from "zod";

/** Text for people: well-formed, without control characters. */
export function words(maxLength: number) {
  return z
    .string()
    .max(maxLength)
    .refine(
      (text) => text.isWellFormed() && !/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text.replace(/[\n\t]/g, "")),
      "no control characters",
    );
}

/** A name for people: trimmed, and one that can be seen. */
export function label(maxLength: number) {
  const message = `1 to ${maxLength} characters, one of them visible`;
  return words(maxLength)
    .min(1, message)
    .transform((text) => text.trim())
    .refine((text) => /[\p{L}\p{N}\p{S}\p{P}]/u.test(text), message);
}
