import { z } from "zod";

/** What a caller of the API may do. `admin` includes the others, and the accounts of others. */
export const Scope = z
  .enum(["streams:read", "streams:write", "keys:write", "admin"])
  .meta({ id: "Scope", description: "What a key may do. `admin` includes the others, and manages accounts." });
export type Scope = z.infer<typeof Scope>;
