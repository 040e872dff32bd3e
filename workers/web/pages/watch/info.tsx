import { useState } from "preact/hooks";
import { EyeIcon, LinkIcon } from "./icons.tsx";
import type { Snapshot } from "./session.ts";
import { formatCount } from "./wording.ts";

const BADGES = {
  connecting: null,
  waiting: "Soon",
  live: "Live",
  reconnecting: "Reconnecting",
  ended: "Ended",
  "not-found": null,
  denied: null,
} as const;

/** Below the picture: title, state, audience, and a button that copies the address. */
export function Info({ snapshot }: { snapshot: Snapshot }) {
  const { watch, socket, player } = snapshot;
  const badge = player.replaying ? "Recording" : BADGES[watch.view.name];
  if (watch.view.name === "not-found" || watch.view.name === "denied") return null;
  return (
    <section class="info" aria-label="About this stream">
      <div class="info-main">
        <h1>{watch.title ?? "\u00a0"}</h1>
        <div class="facts">
          {badge && <span class={`badge badge-${player.replaying ? "recording" : watch.view.name}`}>{badge}</span>}
          <span class="viewers" aria-live="polite">
            <EyeIcon />
            {`${formatCount(watch.viewers)} watching`}
          </span>
          {watch.pull > 0 && (
            <span class="quiet" title="In apps and players that do not report to this page, estimated from what they load">
              {`+${formatCount(watch.pull)} in other players`}
            </span>
          )}
          {socket === "closed" && <span class="quiet">Reconnecting to the counter…</span>}
        </div>
        {watch.view.name === "live" && watch.health === "poor" && <p class="quiet">The broadcaster's connection is poor right now</p>}
        {watch.notice && <p class="quiet">{watch.notice}</p>}
      </div>
      <CopyLink />
    </section>
  );
}

const COPIED_MS = 2_000;

function CopyLink() {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    // Without a fragment: it may have held the viewer's own right to watch.
    await copyText(location.origin + location.pathname);
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <button class="button button-quiet" type="button" onClick={() => void copy()}>
      <LinkIcon />
      <span aria-live="polite">{copied ? "Link copied" : "Copy link"}</span>
    </button>
  );
}

/** The clipboard exists on secure pages only; elsewhere the address is shown to copy by hand. */
async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    prompt("Copy this link", text);
  }
}
