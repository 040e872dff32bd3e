import { render } from "preact";
import "../base.css";
import "./watch.css";
import type { WatchActions } from "./actions.ts";
import { parseWatchPath } from "./address.ts";
import { App } from "./app.tsx";
import { claimToken, followNewToken, playlistUrl } from "./playback-token.ts";
import { initialSnapshot, type Snapshot, WatchSession } from "./session.ts";
import { warmUp } from "./warm-up.ts";

/** The control bar comes with the first frame, or at the latest after this, so that it does not delay it. */
const CONTROLS_BY_MS = 2_000;

const root = document.querySelector("#app") as HTMLElement;
const id = parseWatchPath(location.pathname);

function show(snapshot: Snapshot, actions: WatchActions | null): void {
  const { watch, socket, player } = snapshot;
  Object.assign(document.body.dataset, {
    state: watch.view.name,
    viewers: String(watch.viewers),
    pull: String(watch.pull),
    socket: socket === "replaced" ? "closed" : socket,
    player: player.phase,
  });
  if (watch.title !== null) document.title = `${watch.title} · Nova Edge`;
  render(<App snapshot={snapshot} actions={actions} />, root);
}

function watch(streamId: string): void {
  const token = claimToken(streamId, window);
  followNewToken(window);
  // Answers for a token holder are stored nowhere, so nothing could be warmed.
  if (token === null) void warmUp(playlistUrl(streamId, null)).catch(() => {});
  // The session needs the video, which the first render makes.
  let snapshot = initialSnapshot(true);
  show(snapshot, null);
  const video = root.querySelector("video") as HTMLVideoElement;
  let update: ((snapshot: Snapshot) => void) | null = null;
  const session = new WatchSession({ id: streamId, token }, video, (changed) => {
    snapshot = changed;
    show(changed, session);
    update?.(changed);
  });
  session.start();

  const isDue = new Promise((resolve) => {
    video.addEventListener("loadeddata", resolve, { once: true });
    window.setTimeout(resolve, CONTROLS_BY_MS);
  });
  void isDue
    .then(() => import("./controls.tsx"))
    .then(({ mountControls }) => {
      update = mountControls(root, session);
      update(snapshot);
    });
}

if (id === null) {
  const first = initialSnapshot(true);
  show({ ...first, watch: { ...first.watch, view: { name: "not-found" } }, socket: "closed" }, null);
} else {
  watch(id);
}
