import { base64url } from "jose";
import type { Millis } from "../../domain/time.ts";
import { listSigning, SigningSecrets } from "../../domain/webhooks/secrets.ts";
import { encodeSignature, encodeSignedText } from "../../domain/webhooks/signature.ts";
import { seal, unseal } from "../store/sealed.ts";
import { hmac, randomBytes } from "../store/tokens.ts";

const SECRET_BYTES = 32;

/** A new signing secret. */
export function mintSigningSecret(): string {
  return `whsec_${base64url.encode(randomBytes(SECRET_BYTES))}`;
}

/** A webhook's secrets as they are kept. */
export function sealSecrets(env: { ID_SECRET: string }, webhookId: string, secrets: SigningSecrets): Promise<string> {
  return seal(env, contextOf(webhookId), JSON.stringify(secrets));
}

/** A webhook's secrets; null where `ID_SECRET` no longer opens them. */
export async function unsealSecrets(env: { ID_SECRET: string }, webhookId: string, sealed: string): Promise<SigningSecrets | null> {
  const text = await unseal(env, contextOf(webhookId), sealed);
  return text === null ? null : SigningSecrets.parse(JSON.parse(text));
}

/** The header `Nova-Signature` of a body that is sent now: HMAC-SHA-256 by each secret that signs. */
export async function signDelivery(secrets: SigningSecrets, body: string, now: Millis): Promise<string> {
  const sentAt = Math.floor(now / 1000);
  const data = new TextEncoder().encode(encodeSignedText(sentAt, body));
  const digests = await Promise.all(listSigning(secrets, now).map((secret) => hmac(secret, data)));
  return encodeSignature(
    sentAt,
    digests.map((digest) => Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")),
  );
}

function contextOf(webhookId: string): string {
  return `webhook:${webhookId}`;
}
