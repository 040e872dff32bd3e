import type { ComponentChildren } from "preact";
import { MutedIcon, PlayIcon } from "./icons.tsx";
import type { Snapshot } from "./session.ts";
import { formatCount, formatDuration } from "./wording.ts";

/** What the overlay's buttons do. */
export interface OverlayActions {
  unmute: () => void;
  goLive: () => void;
  takeBack: () => void;
}

/** What lies over the picture: why there is none, or what the viewer may do about its sound. */
export function Overlay({ snapshot, actions }: { snapshot: Snapshot; actions: OverlayActions }) {
  const { watch, socket, player, muted } = snapshot;
  const { view } = watch;
  const moving = player.phase === "playing" || player.phase === "stalled";
  if (view.name === "not-found") {
    return (
      <Card title="No such stream" text="The address may be mistyped, or the stream was deleted.">
        <a class="button" href="/">
          To the start page
        </a>
      </Card>
    );
  }
  if (socket === "replaced") {
    return (
      <Card title="You are watching in another place" text="The same viewer opened this stream somewhere else.">
        <button class="button" type="button" onClick={actions.takeBack}>
          Watch here
        </button>
      </Card>
    );
  }
  if (view.name === "waiting") return <Card pulse title="Waiting for the stream to start" text="It begins here by itself." />;
  if (view.name === "ended" && !moving && player.phase !== "paused") {
    const watched = watch.peak > 0 ? `Peak audience ${formatCount(watch.peak)}` : null;
    const lasted = view.durationSeconds === null ? null : `Lasted ${formatDuration(view.durationSeconds)}`;
    return <Card title="The stream has ended" text={[lasted, watched].filter(Boolean).join(" · ") || "Thanks for watching."} />;
  }
  if (player.phase === "paused") {
    return (
      <div class="overlay overlay-clear">
        <button class="big-play" type="button" aria-label="Play" onClick={actions.goLive}>
          <PlayIcon />
        </button>
      </div>
    );
  }
  return (
    <>
      {view.name === "reconnecting" && <Banner text="The broadcaster lost connection, hold on" />}
      {view.name !== "reconnecting" && player.phase === "error" && <Banner text="Playback trouble, trying again" />}
      {player.phase !== "playing" && <Spinner />}
      {moving && muted && (
        <button class="unmute" type="button" onClick={actions.unmute}>
          <MutedIcon />
          Tap to unmute
        </button>
      )}
    </>
  );
}

function Card({ title, text, pulse, children }: { title: string; text: string; pulse?: boolean; children?: ComponentChildren }) {
  return (
    <div class="overlay" role="status">
      {pulse && <span class="pulse" aria-hidden="true" />}
      <p class="overlay-title">{title}</p>
      <p class="overlay-text">{text}</p>
      {children}
    </div>
  );
}

function Banner({ text }: { text: string }) {
  return (
    <p class="banner" role="status">
      {text}
    </p>
  );
}

function Spinner() {
  return (
    <div class="overlay overlay-clear" role="status" aria-label="Loading">
      <span class="spinner" aria-hidden="true" />
    </div>
  );
}
