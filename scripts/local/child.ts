import type { ChildReport } from "./supervised.ts";

/** Tells the supervisor of this process something. */
export function report(message: ChildReport): void {
  process.send?.(message);
}

/** Runs `stop` once when the supervisor asks for the end or is gone itself, then exits. */
export function endWithSupervisor(stop: () => Promise<void>): void {
  let ending = false;
  const end = () => {
    if (ending) return;
    ending = true;
    stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  process.on("disconnect", end);
}
