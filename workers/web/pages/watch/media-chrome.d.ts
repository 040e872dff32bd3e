import type { HTMLAttributes } from "preact";

/** An attribute that is present or absent. */
type Flag = "" | undefined;

interface MediaAttributes extends HTMLAttributes<HTMLElement> {
  notooltip?: Flag;
}

interface MediaControllerAttributes extends MediaAttributes {
  autohide?: string;
  defaultstreamtype?: "live";
  noautoseektolive?: Flag;
  nomutedpref?: Flag;
  hotkeys?: string;
}

declare module "preact" {
  namespace JSX {
    interface IntrinsicElements {
      "media-airplay-button": MediaAttributes;
      "media-controller": MediaControllerAttributes;
      "media-control-bar": MediaAttributes;
      "media-fullscreen-button": MediaAttributes;
      "media-mute-button": MediaAttributes;
      "media-pip-button": MediaAttributes;
      "media-play-button": MediaAttributes;
      "media-volume-range": MediaAttributes;
    }
  }
}
