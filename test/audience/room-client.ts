import { expect } from "vitest";
import type { FakeSocket } from "../fakes/object-state.ts";
import type { ModelClient } from "./room-model.ts";

/** A frame as a client reads it. */
export interface Frame {
  event: string;
  seq: number;
  data: { from: number; to: number; code: string };
}

/** A client, and what it has read. */
export interface Client {
  model: ModelClient;
  socket: FakeSocket;
  /** Frames that have been looked at. */
  looked: number;
  /** The newest event that it has, or knows to be lost. */
  at: number;
  /** It has closed, or its line broke; and whether the object's handler has been run. */
  ended: "no" | "unhandled" | "handled";
  /** When the object closed it, and whether it waits no longer for the client to agree. */
  closedAt: number | null;
  givenUp: boolean;
}

/** Where a viewer is; null for loopback, which is not limited. */
export const addressOf = (viewer: string) => (Number(viewer.slice(7)) % 3 === 0 ? null : `address ${Number(viewer.slice(7)) % 2}`);

/** `toEqual`, without its cost where all is well. */
export function assertSame(actual: unknown, expected: unknown): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected);
}
