import { createHmac, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeCrockford, parseCrockford } from "../../domain/crockford.ts";
import type { Hmac } from "../../domain/proven-token.ts";
import { StreamIds, streamKeys } from "../../domain/stream-id.ts";

const hmac: Hmac = async (secret, data) => createHmac("sha256", secret).update(data).digest();
const random = (length: number) => new Uint8Array(randomBytes(length));

describe("Crockford base32", () => {
  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 8 }), (five) => {
        const bytes = new Uint8Array(five.length * 5).map((_, index) => five[index % Math.max(1, five.length)] ?? 0);
        expect(parseCrockford(encodeCrockford(bytes))).toEqual(bytes);
      }),
    );
  });

  it("refuses upper case and look-alikes, so that an id has one spelling", () => {
    for (const text of ["ABCDEFGH", "iiiiiiii", "llllllll", "oooooooo", "uuuuuuuu", "abc-efgh"]) expect(parseCrockford(text)).toBeNull();
  });
});

describe("stream ids", () => {
  it("are 24 characters: 10 random bytes and the first 5 of HMAC-SHA-256 over them", async () => {
    const ids = new StreamIds("secret", hmac);
    const id = await ids.mint(() => new Uint8Array(10).fill(7));
    const proof = createHmac("sha256", "secret").update(Buffer.alloc(10, 7)).digest().subarray(0, 5);
    expect(id).toBe(encodeCrockford(Uint8Array.from([...new Uint8Array(10).fill(7), ...proof])));
    expect(id).toHaveLength(24);
    expect(await ids.parse(id)).toBe(id);
  });

  it("are refused after any change of a character", async () => {
    const ids = new StreamIds("secret", hmac);
    const id = await ids.mint(random);
    for (let i = 0; i < id.length; i++) {
      const other = id[i] === "a" ? "b" : "a";
      expect(await ids.parse(id.slice(0, i) + other + id.slice(i + 1))).toBeNull();
    }
    for (const text of ["", "x", `${id}0`, id.slice(1), id.toUpperCase().replace(/^\d+$/, "A")]) expect(await ids.parse(text)).toBeNull();
  });

  it("stay valid while a secret is rotated, and no longer", async () => {
    const old = await new StreamIds("old", hmac).mint(random);
    expect(await new StreamIds("new, old", hmac).parse(old)).toBe(old);
    expect(await new StreamIds("new", hmac).parse(old)).toBeNull();
    const signed = await new StreamIds("new,old", hmac).mint(random);
    expect(await new StreamIds("new", hmac).parse(signed)).toBe(signed);
  });

  it("need a secret", () => {
    expect(() => new StreamIds(" , ", hmac)).toThrow("ID_SECRET");
  });

  it("prove nothing about stream keys, and the other way round", async () => {
    const keys = streamKeys("secret", hmac);
    const key = await keys.mint(random);
    expect(key).toMatch(/^nova_[0-9a-z]{32}$/);
    expect(await keys.verify(key)).toBe(true);
    expect(await keys.verify(`nova_${"0".repeat(32)}`)).toBe(false);
    const id = await new StreamIds("secret", hmac).mint(random);
    expect(await keys.verify(`nova_${id}`)).toBe(false);
  });
});
