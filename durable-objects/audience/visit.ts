import type { ShardPlan } from "../../domain/audience/shard-plan.ts";
import type { Visitor } from "../../domain/protocol/audience.ts";
import type { ResumePoint } from "../../domain/protocol/events.ts";
import type { Place } from "./members.ts";

/** Who opens a socket, as the Worker has made out. */
export interface Visit extends Visitor {
  viewer: string;
  /** By which plan it is asked; null where the Worker knows none. */
  plan: ShardPlan | null;
  /** The object that is asked. */
  place: Place;
  resume: ResumePoint | null;
  /** A playback token of the stream has been proven. */
  hasToken: boolean;
}

const HEADER = "Visit";

/** The upgrade that a Worker asks of an object for a visitor. */
export function visitRequest(visit: Visit): Request {
  return new Request("https://audience/", { headers: { Upgrade: "websocket", [HEADER]: JSON.stringify(visit) } });
}

/** Who it is for; null where it is no such request. Only our own Worker can ask an object. */
export function visitOf(request: Request): Visit | null {
  const visit = request.headers.get(HEADER);
  return visit === null || request.headers.get("Upgrade") !== "websocket" ? null : (JSON.parse(visit) as Visit);
}
