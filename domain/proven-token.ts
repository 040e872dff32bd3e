import { encodeCrockford, parseCrockford } from "./crockford.ts";

/** HMAC-SHA-256, supplied by the platform: domain code has no crypto of its own. */
export type Hmac = (secret: string, data: Uint8Array) => Promise<Uint8Array>;

/** Cryptographically random bytes, supplied by the platform. */
export type RandomBytes = (length: number) => Uint8Array;

const PROOF_BYTES = 5;

/** What tokens of one kind look like. `label` separates kinds, so that a proof of one is none of another. */
export interface TokenKind {
  prefix: string;
  label: string;
  /** A multiple of 5. */
  randomBytes: number;
}

/**
 * Makes and proves tokens that carry their own proof: random bytes, then the first 5 bytes of an HMAC over them. A made-up
 * token is refused without any look-up. The first secret signs, all verify, so that secrets can be rotated.
 */
export class ProvenTokens {
  readonly #kind: TokenKind;
  readonly #secrets: readonly string[];
  readonly #hmac: Hmac;

  /** @param secrets one or more, comma-separated; throws where there is none */
  constructor(kind: TokenKind, secrets: string, hmac: Hmac) {
    this.#kind = kind;
    this.#hmac = hmac;
    this.#secrets = secrets
      .split(",")
      .map((secret) => secret.trim())
      .filter((secret) => secret !== "");
    if (this.#secrets.length === 0) throw new Error("ID_SECRET is empty: set it to one or more secrets, comma-separated");
  }

  /** A new token, signed with the first secret. */
  async mint(randomBytes: RandomBytes): Promise<string> {
    const random = randomBytes(this.#kind.randomBytes);
    const proof = await this.#proof(this.#secrets[0] as string, random);
    const bytes = new Uint8Array(random.length + PROOF_BYTES);
    bytes.set(random);
    bytes.set(proof, random.length);
    return this.#kind.prefix + encodeCrockford(bytes);
  }

  /** Whether one of the secrets made this token. Constant in time over the proof. */
  async verify(token: string): Promise<boolean> {
    const { prefix, randomBytes } = this.#kind;
    if (token.length !== prefix.length + ((randomBytes + PROOF_BYTES) * 8) / 5 || !token.startsWith(prefix)) return false;
    const bytes = parseCrockford(token.slice(prefix.length));
    if (bytes === null) return false;
    let proven = false;
    for (const secret of this.#secrets) {
      const proof = await this.#proof(secret, bytes.subarray(0, randomBytes));
      let difference = 0;
      for (let i = 0; i < PROOF_BYTES; i++) difference |= (proof[i] as number) ^ (bytes[randomBytes + i] as number);
      if (difference === 0) proven = true;
    }
    return proven;
  }

  async #proof(secret: string, random: Uint8Array): Promise<Uint8Array> {
    const label = Uint8Array.from(this.#kind.label, (character) => character.charCodeAt(0));
    const data = new Uint8Array(label.length + random.length);
    data.set(label);
    data.set(random, label.length);
    return (await this.#hmac(secret, data)).subarray(0, PROOF_BYTES);
  }
}
