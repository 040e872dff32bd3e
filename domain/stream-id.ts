import { type Hmac, ProvenTokens } from "./proven-token.ts";

declare const brand: unique symbol;

/** A stream id that has been proven: 24 characters of lower-case Crockford base32. */
export type StreamId = string & { readonly [brand]: "StreamId" };

/** Ids of streams: any Worker proves one without a look-up, so a made-up id costs no D1 read and creates no object. */
export class StreamIds {
  readonly #tokens: ProvenTokens;

  /** @param secrets `ID_SECRET`: one or more, comma-separated; the first signs, all verify */
  constructor(secrets: string, hmac: Hmac) {
    this.#tokens = new ProvenTokens({ prefix: "", label: "", randomBytes: 10 }, secrets, hmac);
  }

  /** A new id. */
  async mint(randomBytes: (length: number) => Uint8Array): Promise<StreamId> {
    return (await this.#tokens.mint(randomBytes)) as StreamId;
  }

  /** The id where the text is one that we made, else null. */
  async parse(text: string): Promise<StreamId | null> {
    return (await this.#tokens.verify(text)) ? (text as StreamId) : null;
  }
}

/** Stream keys, `nova_` and 32 characters: they prove themselves too, so guesses at the RTMP port cost no D1 read. */
export function streamKeys(secrets: string, hmac: Hmac): ProvenTokens {
  return new ProvenTokens({ prefix: "nova_", label: "stream-key:", randomBytes: 15 }, secrets, hmac);
}
