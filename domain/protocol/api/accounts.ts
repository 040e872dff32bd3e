import { z } from "zod";
import { Scope } from "./access.ts";
import { expiresAt, rotation } from "./key-life.ts";
import { label } from "./words.ts";

/** How many API keys of an account may be valid at once. */
export const MAX_API_KEYS = 100;

const timestamp = z.iso.datetime();
const cursor = z.string().nullable().meta({ description: "Asks for the next page; null on the last" });

/** Query of the lists of accounts and of API keys; `cursor` is the `next_cursor` of the page before. */
export const ListPage = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z.string().max(128).optional().meta({ description: "`next_cursor` of the page before" }),
});

/** The body of `POST /api/v1/accounts`. */
export const CreateAccount = z
  .strictObject({ name: label(100).meta({ description: "To know it by" }) })
  .meta({ id: "CreateAccount", example: { name: "Radio Nordwind" } });

const account = { id: "acc_7k2m9qx4v8n3p5r1", name: "Radio Nordwind", created_at: "2026-05-02T17:55:00.000Z" };

/** A broadcaster. */
export const AccountResource = z
  .object({ id: z.string(), name: z.string(), created_at: timestamp })
  .meta({ id: "Account", example: account });
export type AccountResource = z.infer<typeof AccountResource>;

/** Answer of `GET /api/v1/accounts`: the newest first. */
export const AccountList = z
  .object({ accounts: z.array(AccountResource), next_cursor: cursor })
  .meta({ id: "AccountList", example: { accounts: [account], next_cursor: null } });

/** The body of `POST /api/v1/api-keys`. */
export const CreateApiKey = z
  .strictObject({
    name: label(64).meta({ description: "To know it by: which program uses it" }),
    scopes: z
      .array(Scope)
      .min(1)
      .max(Scope.options.length)
      .transform((scopes) => [...new Set(scopes)])
      .meta({ description: "What it may do. Only scopes that the caller has can be given" }),
    expires_at: expiresAt("From then on it is refused; without it, never"),
  })
  .meta({ id: "CreateApiKey", example: { name: "Studio automation", scopes: ["streams:read", "streams:write"] } });
export type CreateApiKey = z.output<typeof CreateApiKey>;

/** The body of `POST /api/v1/api-keys/{key_id}/rotate`. */
export const RotateApiKey = rotation("RotateApiKey", "How long the old key is still valid, so that programs can be changed one by one");

const key = {
  id: "5b8d3c1e-7a44-4a0b-9c53-1f0f6e2d9a71",
  name: "Studio automation",
  prefix: "nova_api_7k2m9",
  scopes: ["streams:read", "streams:write"],
  status: "valid",
  created_at: "2026-05-02T17:55:00.000Z",
  expires_at: null,
  last_used_at: "2026-05-02T18:00:00.900Z",
  revoked_at: null,
  replaced_by: null,
} as const;

/** An API key as lists show it: never the key itself. */
export const ApiKeyResource = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string().meta({ description: "Its first characters" }),
    scopes: z.array(Scope),
    status: z.enum(["valid", "expired", "revoked"]),
    created_at: timestamp,
    expires_at: timestamp.nullable(),
    last_used_at: timestamp.nullable().meta({ description: "To within a minute" }),
    revoked_at: timestamp.nullable(),
    replaced_by: z.uuid().nullable().meta({ description: "The id of the key that it was rotated into" }),
  })
  .meta({ id: "ApiKey", example: { ...key, scopes: [...key.scopes] } });
export type ApiKeyResource = z.infer<typeof ApiKeyResource>;

/** The only answer that ever holds the key. */
export const CreatedApiKey = ApiKeyResource.extend({ key: z.string().meta({ description: "Shown this once" }) }).meta({
  id: "CreatedApiKey",
  example: { ...key, scopes: [...key.scopes], last_used_at: null, key: "nova_api_7k2m9qx4v8n3p5r1t6w0z2bc4d6f8g0h" },
});

/** Answer of `GET /api/v1/api-keys`: the newest first, also those that are not valid any more. */
export const ApiKeyList = z
  .object({ keys: z.array(ApiKeyResource), next_cursor: cursor })
  .meta({ id: "ApiKeyList", example: { keys: [{ ...key, scopes: [...key.scopes] }], next_cursor: null } });

/** Answer of `GET /api/v1/me`. */
export const Me = z
  .object({
    account: AccountResource,
    scopes: z.array(Scope).meta({ description: "What this caller may do" }),
    credential: z
      .enum(["admin_key", "api_key", "jwt"])
      .meta({ description: "The deployment's own key, an API key, or a token of the outside issuer" }),
    key_id: z.uuid().nullable().meta({ description: "The API key's id; null for other credentials" }),
  })
  .meta({
    id: "Me",
    example: { account, scopes: ["streams:read", "streams:write"], credential: "api_key", key_id: key.id },
  });
