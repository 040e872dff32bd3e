import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import { NovaError } from "../../domain/errors.ts";
import { Scope } from "../../domain/protocol/api/access.ts";
import { Recent } from "../recent.ts";
import { sha256Hex } from "../store/digest.ts";

/** Whom a token of the outside issuer speaks for. */
export interface OutsideCaller {
  accountId: string;
  /** The issuer's own name of the account. */
  accountName: string;
  /** The issuer's name of who holds the token: several may share an account. */
  subject: string;
  scopes: Scope[];
}

interface Settings {
  issuer: string;
  audience: string;
  jwksUrl: URL;
  algorithms: string[];
}

const MAX_TOKEN_LENGTH = 8192;
const CLOCK_TOLERANCE_SECONDS = 30;
/** Signatures that only the issuer's private key makes. With a shared secret, whoever verifies could sign; `none` is no signature. */
const ASYMMETRIC = /^(?:RS|PS|ES)(?:256|384|512)$|^EdDSA$|^Ed25519$/;
/** A name of an account or a person, as claims give it. */
const NAME = /^[^\p{Cc}]{1,255}$/u;

type KeySet = ReturnType<typeof createRemoteJWKSet>;

/** The issuer's keys, by address: jose keeps them ten minutes. */
const keySets = new Recent<KeySet>(86_400_000);
/** Addresses whose keys are so new that it is not asked again for one that is not among them. */
const justFetched = new Recent<true>(30_000);
/** Addresses that did not answer a moment ago. */
const away = new Recent<true>(5_000);
/** Faults of the settings that were logged a moment ago: whoever sends tokens must not write the log. */
const justLogged = new Recent<true>(10_000);

/**
 * The caller of a token that the outside issuer signed for us and that is valid now; null for any other. Throws 503 `unavailable` where that
 * cannot be told: the issuer's keys are away, or the settings are wrong.
 */
export async function verifyOutsideToken(env: Env, token: string): Promise<OutsideCaller | null> {
  if (env.JWT_ISSUER === "" || token.length > MAX_TOKEN_LENGTH) return null;
  const settings = readSettings(env);
  if (!mayBeOurs(token, settings)) return null;
  const { issuer, audience, algorithms } = settings;
  try {
    const { payload } = await jwtVerify(token, (header, jws) => findKey(settings.jwksUrl, header, jws), {
      ...{ issuer, audience, algorithms, clockTolerance: CLOCK_TOLERANCE_SECONDS, requiredClaims: ["exp"] },
    });
    return await callerOf(env, issuer, payload);
  } catch (error) {
    if (error instanceof NovaError) throw error;
    const fault = faultOf(error);
    if (fault === null) return null;
    throw new NovaError(401, "unauthorized", `this token is not valid: ${fault}`);
  }
}

/** What is wrong with a token that the issuer has signed, for whoever sets the issuer up; null for one that it has not: nobody is told about that. */
function faultOf(error: unknown): string | null {
  if (error instanceof errors.JWTExpired) return "it has expired";
  if (!(error instanceof errors.JWTClaimValidationFailed)) return null;
  if (error.claim === "aud") return "it is for another audience";
  if (error.claim === "nbf") return "it is not valid yet";
  return error.reason === "missing" ? `it has no ${error.claim}` : `its ${error.claim} is wrong`;
}

function readSettings(env: Env): Settings {
  const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWT_JWKS_URL: address } = env;
  const algorithms = env.JWT_ALGORITHMS.split(",").map((algorithm) => algorithm.trim());
  if (audience === "") throw misconfigured("JWT_AUDIENCE is empty");
  if (!algorithms.every((algorithm) => ASYMMETRIC.test(algorithm))) throw misconfigured("JWT_ALGORITHMS names one that is not asymmetric");
  if (!URL.canParse(address)) throw misconfigured("JWT_JWKS_URL is no URL");
  const jwksUrl = new URL(address);
  const isLoopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(jwksUrl.hostname);
  if (jwksUrl.protocol !== "https:" && !(jwksUrl.protocol === "http:" && isLoopback)) throw misconfigured("JWT_JWKS_URL is not https");
  return { issuer, audience, jwksUrl, algorithms };
}

/** Whether it is worth asking for the issuer's keys: who knows nothing of the issuer must not make us call it. */
function mayBeOurs(token: string, { issuer, algorithms }: Settings): boolean {
  try {
    return decodeJwt(token).iss === issuer && algorithms.includes(decodeProtectedHeader(token).alg ?? "");
  } catch {
    return false;
  }
}

/** The keys that we have come first: a token that names one nobody knows, from whomever, takes nothing from those whose key is known. */
async function findKey(url: URL, ...of: Parameters<JWTVerifyGetKey>): Promise<Awaited<ReturnType<JWTVerifyGetKey>>> {
  // Never by itself for an unknown key: when that is worth it is decided here.
  const known = keySets.get(url.href) ?? createRemoteJWKSet(url, { timeoutDuration: 3_000, cooldownDuration: Number.POSITIVE_INFINITY });
  keySets.set(url.href, known);
  if (!known.fresh) await fetchKeys(url, known);
  try {
    return await known(...of);
  } catch (error) {
    if (!(error instanceof errors.JWKSNoMatchingKey) || justFetched.get(url.href) !== undefined) throw error;
  }
  await fetchKeys(url, known);
  return known(...of);
}

async function fetchKeys(url: URL, known: KeySet): Promise<void> {
  if (away.get(url.href) !== undefined) throw keysAway();
  try {
    await known.reload();
    justFetched.set(url.href, true);
  } catch (error) {
    away.set(url.href, true);
    console.error(JSON.stringify({ event: "jwks_failed", host: url.host, error: error instanceof Error ? error.name : "unknown" }));
    throw keysAway();
  }
}

async function callerOf(env: Env, issuer: string, claims: JWTPayload): Promise<OutsideCaller | null> {
  const accountName = claims[env.JWT_ACCOUNT_CLAIM];
  if (!isName(accountName)) return null;
  const subject = isName(claims.sub) ? claims.sub : accountName;
  const digest = await sha256Hex(JSON.stringify([issuer, accountName]));
  return { accountId: `jwt_${digest.slice(0, 32)}`, accountName, subject, scopes: scopesOf(env, claims) };
}

/** Well-formed, too: all halves of characters become the same one in UTF-8, so that two names would be one account. */
function isName(claim: unknown): claim is string {
  return typeof claim === "string" && claim.isWellFormed() && NAME.test(claim);
}

/** The scopes that we know: what else the issuer gives is for others. */
function scopesOf(env: Env, claims: JWTPayload): Scope[] {
  const claim = claims[env.JWT_SCOPE_CLAIM];
  const given: unknown[] = typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [];
  const mayAdmin = env.JWT_ALLOW_ADMIN === "true";
  return Scope.options.filter((scope) => given.includes(scope) && (scope !== "admin" || mayAdmin));
}

function misconfigured(what: string): NovaError {
  if (justLogged.get(what) === undefined) {
    justLogged.set(what, true);
    console.error(JSON.stringify({ event: "jwt_misconfigured", error: what }));
  }
  return new NovaError(503, "unavailable", "tokens cannot be checked right now: this deployment's JWT settings are wrong");
}

function keysAway(): NovaError {
  return new NovaError(503, "unavailable", "the keys of the token's issuer cannot be had right now: try again in a few seconds");
}
