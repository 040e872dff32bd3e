import { CLIENT_LIMIT, spendMessage } from "../../domain/audience/message-limit.ts";
import { ClientFrame, CloseCode } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import type { Seat } from "./sockets.ts";

const MAX_FRAME_BYTES = 4096;

/** Why a client's socket is closed, and what it is told before. */
export interface Violation {
  closeCode: number;
  code: string;
  message: string;
}

/** A client's message, with the seat's new budget, or what is wrong with it. */
export function readClientFrame(
  message: string | ArrayBuffer,
  seat: Seat,
  now: Millis,
): { frame: ClientFrame; budget: Seat["budget"] } | Violation {
  if (typeof message !== "string") return { closeCode: CloseCode.unsupported, code: "binary_frame", message: "text frames only" };
  if (new TextEncoder().encode(message).length > MAX_FRAME_BYTES) {
    return { closeCode: CloseCode.tooBig, code: "frame_too_big", message: `frames are at most ${MAX_FRAME_BYTES} bytes` };
  }
  const budget = spendMessage(seat.budget, CLIENT_LIMIT, now);
  if (budget === null) return { closeCode: CloseCode.rate, code: "too_many_messages", message: "at most 10 messages in 10 s" };
  const frame = parseClientFrame(message);
  if (frame === null) return { closeCode: CloseCode.invalid, code: "unknown_message", message: "not a message of this protocol" };
  return { frame, budget };
}

function parseClientFrame(message: string): ClientFrame | null {
  try {
    return ClientFrame.safeParse(JSON.parse(message)).data ?? null;
  } catch {
    return null;
  }
}
