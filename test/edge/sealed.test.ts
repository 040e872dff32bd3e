import { describe, expect, it } from "vitest";
import { seal, unseal } from "../../workers/store/sealed.ts";

const env = (secrets: string) => ({ ID_SECRET: secrets });

describe("what is sealed", () => {
  it("opens again, in its own context only", async () => {
    const sealed = await seal(env("one"), "webhook:a", "whsec_geheim ✓");
    expect(sealed).toMatch(/^v1\.[A-Za-z0-9_-]+$/);
    expect(sealed).not.toContain("geheim");
    expect(await unseal(env("one"), "webhook:a", sealed)).toBe("whsec_geheim ✓");
    expect(await unseal(env("one"), "webhook:b", sealed)).toBeNull();
    expect(await unseal(env("another"), "webhook:a", sealed)).toBeNull();
  });

  it("is another text each time", async () => {
    expect(await seal(env("one"), "c", "same")).not.toBe(await seal(env("one"), "c", "same"));
  });

  it("opens with any of the secrets, so that they can be rotated; the first one seals", async () => {
    const old = await seal(env("old"), "c", "text");
    expect(await unseal(env("new, old"), "c", old)).toBe("text");
    const sealed = await seal(env("new, old"), "c", "text");
    expect(await unseal(env("new"), "c", sealed)).toBe("text");
    expect(await unseal(env("old"), "c", sealed)).toBeNull();
  });

  it("is null where a character was changed, cut off, or is of another version", async () => {
    const sealed = await seal(env("one"), "c", "text");
    for (let at = 3; at < sealed.length - 1; at++) {
      const changed = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
      expect(await unseal(env("one"), "c", changed)).toBeNull();
    }
    for (const other of ["", "v1.", sealed.slice(0, 20), sealed.slice(0, -3), sealed.replace("v1", "v2"), "v1.%%%"]) {
      expect(await unseal(env("one"), "c", other)).toBeNull();
    }
  });

  it("holds an empty text", async () => {
    expect(await unseal(env("one"), "c", await seal(env("one"), "c", ""))).toBe("");
  });

  it("needs a secret", async () => {
    await expect(seal(env(" , "), "c", "text")).rejects.toThrow("ID_SECRET");
  });
});
