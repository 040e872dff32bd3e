import type { ComponentChildren } from "preact";
import type { WatchActions } from "./actions.ts";
import { MutedIcon, PlayIcon } from "./icons.tsx";
import type { Snapshot } from "./session.ts";
import type { View } from "./state.ts";
import { formatCount, formatDuration } from "./wording.ts";

/** What lies over the picture: why there is none, or what the viewer may do about its sound. */
export function Overlay({ snapshot, actions }: { snapshot: Snapshot; actions: WatchActions | null }) {
  const { watch, socket, player, muted, hasRecording } = snapshot;
  const { view } = watch;
  const moving = player.phase === "playing" || player.phase === "stalled";
  if (view.name === "not-found") {
    return (
      <Card title="No such stream" text="The address may be mistyped, or the stream was deleted.">
        <HomeLink />
      </Card>
    );
  }
  if (view.name === "denied") {
    return view.hasToken ? (
      <Card title="Your access has expired" text="Ask whoever invited you for a new link.">
        <HomeLink />
      </Card>
    ) : (
      <Card title="This stream needs an invitation" text="Open it with the link that you were sent.">
        <HomeLink />
      </Card>
    );
  }
  if (socket === "replaced") {
    return (
      <Card title="You are watching in another place" text="The same viewer opened this stream somewhere else.">
        <CardButton onClick={actions?.takeBack}>Watch here</CardButton>
      </Card>
    );
  }
  if (player.replaying && player.phase === "ended" && view.name === "live") {
    return (
      <Card title="That was the recording" text="The stream is live again.">
        <CardButton onClick={actions?.goLive}>Watch live</CardButton>
      </Card>
    );
  }
  if (view.name === "waiting") return <Card pulse title="Waiting for the stream to start" text="It begins here by itself." />;
  const isPlayed = player.replaying && player.phase !== "ended" && player.phase !== "idle";
  if (view.name === "ended" && !moving && player.phase !== "paused" && !isPlayed) {
    return (
      <Card title="The stream has ended" text={summarise(view, watch.peak)}>
        {hasRecording && (
          <CardButton onClick={actions?.replay}>
            <PlayIcon />
            {player.replaying ? "Watch it again" : "Watch the recording"}
          </CardButton>
        )}
      </Card>
    );
  }
  if (player.phase === "paused") {
    return (
      <div class="overlay overlay-clear">
        <button class="big-play" type="button" aria-label="Play" onClick={() => actions?.play()}>
          <PlayIcon />
        </button>
      </div>
    );
  }
  const isLiveElsewhere = player.replaying && view.name === "live";
  return (
    <>
      {view.name === "reconnecting" && !player.replaying && <Banner text="The broadcaster lost connection, hold on" />}
      {view.name !== "reconnecting" && player.phase === "error" && <Banner text="Playback trouble, trying again" />}
      {player.phase !== "playing" && <Spinner />}
      {moving && muted && (
        <button class="pill" type="button" onClick={() => actions?.unmute()}>
          <MutedIcon />
          Tap to unmute
        </button>
      )}
      {moving && !muted && isLiveElsewhere && (
        <button class="pill" type="button" onClick={() => actions?.goLive()}>
          <span class="dot dot-live" aria-hidden="true" />
          Live now: watch
        </button>
      )}
    </>
  );
}

function summarise(view: View & { name: "ended" }, peak: number): string {
  const lasted = view.durationSeconds === null ? null : `Lasted ${formatDuration(view.durationSeconds)}`;
  const watched = peak > 0 ? `Peak audience ${formatCount(peak)}` : null;
  return [lasted, watched].filter(Boolean).join(" · ") || "Thanks for watching.";
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

function CardButton({ onClick, children }: { onClick: (() => void) | undefined; children: ComponentChildren }) {
  return (
    <button class="button" type="button" onClick={() => onClick?.()}>
      {children}
    </button>
  );
}

function HomeLink() {
  return (
    <a class="button" href="/">
      To the start page
    </a>
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
