/** What a client is limited by: its IPv4 address, or the /64 of its IPv6 one, in one spelling; null for loopback, and for what is no address. */
export function networkOf(address: string | null): string | null {
  if (address === null) return null;
  const [, mapped] = /^(?:::ffff:)?(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address) ?? [];
  if (mapped !== undefined) return mapped.startsWith("127.") ? null : mapped;
  const groups = groupsOf(address);
  if (groups === null || (groups.slice(0, 7).every((group) => group === 0) && groups[7] === 1)) return null;
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** The eight groups of an IPv6 address; null where it is none. */
function groupsOf(address: string): number[] | null {
  const [before = "", after, ...more] = address.split("::");
  if (more.length > 0 || !address.includes(":")) return null;
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  const missing = 8 - head.length - tail.length;
  if (after === undefined ? missing !== 0 : missing < 1) return null;
  const texts = [...head, ...Array<string>(missing).fill("0"), ...tail];
  return texts.every((text) => /^[0-9a-f]{1,4}$/i.test(text)) ? texts.map((text) => Number.parseInt(text, 16)) : null;
}
