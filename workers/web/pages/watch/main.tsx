import { render } from "preact";
import "../base.css";
import "./watch.css";
import { parseWatchPath } from "./address.ts";
import { App } from "./app.tsx";
import type { OverlayActions } from "./overlay.tsx";
import { initialSnapshot, type Snapshot, WatchSession } from "./session.ts";

const root = document.querySelector("#app") as HTMLElement;
const id = parseWatchPath(location.pathname);

function show(snapshot: Snapshot, actions: OverlayActions): void {
  const { watch, socket, player } = snapshot;
  Object.assign(document.body.dataset, {
    state: watch.view.name,
    viewers: String(watch.viewers),
    socket: socket === "replaced" ? "closed" : socket,
    player: player.phase,
  });
  if (watch.title !== null) document.title = `${watch.title} · Nova Edge`;
  render(<App snapshot={snapshot} actions={actions} />, root);
}

function nothing(): void {}

const first = initialSnapshot(true);
if (id === null) {
  show(
    { ...first, watch: { ...first.watch, view: { name: "not-found" } }, socket: "closed" },
    { unmute: nothing, goLive: nothing, takeBack: nothing },
  );
} else {
  // The session needs the video, which the first render makes; actions reach the session that comes after it.
  const actions: OverlayActions = {
    unmute: () => session.unmute(),
    goLive: () => session.goLive(),
    takeBack: () => session.takeBack(),
  };
  show(first, actions);
  const session = new WatchSession(id, root.querySelector("video") as HTMLVideoElement, (snapshot) => show(snapshot, actions));
  session.start();
}
void import("./controls.ts").then(({ setFullscreenElement }) => setFullscreenElement(root));
