/** A value of an attribute list: a quoted string, or text that stands as it is (numbers, enumerations, resolutions). */
export type AttributeValue = { quoted: string } | string | number;

/** An attribute list, rfc8216bis §4.2. Undefined values are left out. */
export function encodeAttributes(attributes: Record<string, AttributeValue | undefined>): string {
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    pairs.push(`${name}=${typeof value === "object" ? `"${value.quoted.replace(/["\r\n]/g, "'")}"` : value}`);
  }
  return pairs.join(",");
}
