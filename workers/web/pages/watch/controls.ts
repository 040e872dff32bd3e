// The custom elements of the control bar, in a chunk of their own: the first frame does not wait for them.
import type MediaController from "media-chrome/media-controller";
import "media-chrome/media-controller";
import "media-chrome/media-control-bar";
import "media-chrome/media-fullscreen-button";
import "media-chrome/media-mute-button";
import "media-chrome/media-pip-button";
import "media-chrome/media-play-button";
import "media-chrome/media-volume-range";

/** Makes full screen show what lies over the picture too. The element's attribute for it is not observed, its property is. */
export function setFullscreenElement(root: HTMLElement): void {
  const controller = root.querySelector<MediaController>("media-controller");
  if (controller) controller.fullscreenElement = root.querySelector<HTMLElement>("#stage") ?? controller;
}
