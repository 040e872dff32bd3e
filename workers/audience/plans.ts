import { newerPlan, type ShardPlan } from "../../domain/audience/shard-plan.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { Recent } from "../recent.ts";

/** Which objects streams are spread over, as far as this isolate has been told. A stale plan does no harm: who is asked in vain tells the newest. */
const plans = new Recent<ShardPlan>(600_000);

/** Null where the stream's own object has everybody, as far as is known. */
export function knownPlan(stream: StreamId): ShardPlan | null {
  return plans.get(stream) ?? null;
}

/** An object of the stream has told its plan. */
export function learnPlan(stream: StreamId, plan: ShardPlan): void {
  plans.set(stream, newerPlan(knownPlan(stream), plan));
}
