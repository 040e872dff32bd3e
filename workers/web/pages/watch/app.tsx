import type { WatchActions } from "./actions.ts";
import { Info } from "./info.tsx";
import { Overlay } from "./overlay.tsx";
import type { Snapshot } from "./session.ts";
import { Stage } from "./stage.tsx";

/** The watch page. `actions` are null while nobody is there to carry them out. */
export function App({ snapshot, actions }: { snapshot: Snapshot; actions: WatchActions | null }) {
  const { watch, player } = snapshot;
  const isOver = player.replaying || watch.view.name === "ended";
  return (
    <>
      <header class="top">
        <a class="brand" href="/">
          Nova Edge
        </a>
      </header>
      <main>
        <div id="stage" class="stage" data-at-live={player.atLive} data-over={isOver}>
          <Stage />
          <Overlay snapshot={snapshot} actions={actions} />
        </div>
        <Info snapshot={snapshot} />
      </main>
    </>
  );
}
