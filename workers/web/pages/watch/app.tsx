import { Info } from "./info.tsx";
import { Overlay, type OverlayActions } from "./overlay.tsx";
import type { Snapshot } from "./session.ts";
import { Stage } from "./stage.tsx";

/** The watch page. */
export function App({ snapshot, actions }: { snapshot: Snapshot; actions: OverlayActions }) {
  return (
    <>
      <header class="top">
        <a class="brand" href="/">
          Nova Edge
        </a>
      </header>
      <main>
        <div id="stage" class="stage" data-at-live={snapshot.player.atLive}>
          <Stage onGoLive={actions.goLive} />
          <Overlay snapshot={snapshot} actions={actions} />
        </div>
        <Info snapshot={snapshot} />
      </main>
    </>
  );
}
