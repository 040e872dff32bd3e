// The control bar, in a chunk of its own: the first frame does not wait for it.
import type MediaController from "media-chrome/media-controller";
import "media-chrome/media-airplay-button";
import "media-chrome/media-controller";
import "media-chrome/media-control-bar";
import "media-chrome/media-fullscreen-button";
import "media-chrome/media-mute-button";
import "media-chrome/media-pip-button";
import "media-chrome/media-play-button";
import "media-chrome/media-volume-range";
import { render } from "preact";
import type { WatchActions } from "./actions.ts";
import { QualityMenu } from "./quality-menu.tsx";
import { Clock, Scrubber } from "./scrubber.tsx";
import { listenForSeekKeys } from "./seek-keys.ts";
import type { Snapshot } from "./session.ts";
import type { Timeline } from "./timeline.ts";

/** How long the bar stays without a move of the viewer's, seconds; -1 for ever. */
const AUTOHIDE = { usual: "3", never: "-1" };

/** Brings the bar to life; what it returns shows a snapshot in it. */
export function mountControls(root: HTMLElement, actions: WatchActions): (snapshot: Snapshot) => void {
  const find = (selector: string) => root.querySelector(selector) as HTMLElement;
  const stage = find("#stage");
  const controller = find("media-controller") as MediaController;
  // Full screen shows what lies over the picture too. The element's attribute for it is not observed, its property is.
  controller.fullscreenElement = stage;
  const keepBar = (isOpen: boolean) => controller.setAttribute("autohide", isOpen ? AUTOHIDE.never : AUTOHIDE.usual);
  find(".go-live").addEventListener("click", actions.goLive);
  let shown: Timeline | null = null;
  listenForSeekKeys(stage, actions, () => shown);
  return ({ player }) => {
    const { timeline, atLive, qualities } = player;
    shown = timeline;
    render(timeline && <Scrubber timeline={timeline} onSeek={actions.seek} />, find(".scrubber-place"));
    render(timeline && <Clock timeline={timeline} atLive={atLive} />, find(".clock-place"));
    render(<QualityMenu qualities={qualities} onChoose={actions.chooseQuality} onOpen={keepBar} />, find(".quality-place"));
  };
}
