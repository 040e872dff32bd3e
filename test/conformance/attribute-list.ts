const KINDS = {
  integer: /^\d{1,20}$/,
  decimal: /^\d+(\.\d+)?$/,
  quoted: /^"[^"\r\n]*"$/,
  yes: /^YES$/,
  yesno: /^(YES|NO)$/,
  word: /^[^",\s]+$/,
  resolution: /^\d+x\d+$/,
} as const;

/** Which attributes a tag may have, each with its kind; those ending in `!` must be there. */
export type AttributeSchema = Record<string, keyof typeof KINDS | `${keyof typeof KINDS}!`>;

/** Reads an attribute list, rfc8216bis §4.2; quotes are taken off. Throws on a name that is unknown, doubled or missing, and on a malformed value. */
export function parseAttributes(text: string, schema: AttributeSchema): Map<string, string> {
  const values = new Map<string, string>();
  const pair = /([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(,|$)/y;
  while (pair.lastIndex < text.length) {
    const at = pair.lastIndex;
    const [, name = "", value = "", after] = pair.exec(text) ?? [];
    const kind = schema[name]?.replace("!", "") as keyof typeof KINDS | undefined;
    if (kind === undefined) throw new Error(`unknown or malformed attribute at "${text.slice(at)}"`);
    if (values.has(name)) throw new Error(`attribute ${name} twice in "${text}"`);
    if (!KINDS[kind].test(value)) throw new Error(`attribute ${name} is no ${kind}: ${value}`);
    values.set(name, value.replaceAll('"', ""));
    if (after === "," && pair.lastIndex === text.length) throw new Error(`attribute list ends with a comma: "${text}"`);
  }
  for (const [name, kind] of Object.entries(schema)) {
    if (kind.endsWith("!") && !values.has(name)) throw new Error(`attribute ${name} is missing in "${text}"`);
  }
  return values;
}
