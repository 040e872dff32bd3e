import { NovaError } from "../../domain/errors.ts";

/** An RPC's answer. A refusal is a value: the runtime keeps only the message of an error that crosses to another isolate. */
export type Outcome<Value> = { ok: true; value: Value } | { ok: false; status: number; code: string; message: string };

/** Runs a method's body and turns a refusal into a value; faults of our own stay errors. */
export async function outcomeOf<Value>(body: () => Value | Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { ok: true, value: await body() };
  } catch (error) {
    if (error instanceof NovaError) return { ok: false, status: error.status, code: error.code, message: error.message };
    throw error;
  }
}

/** The value of an RPC's answer, or its refusal thrown again. */
export function unwrap<Value>(outcome: Outcome<Value>): Value {
  if (outcome.ok) return outcome.value;
  throw new NovaError(outcome.status, outcome.code, outcome.message);
}
