import { Component } from "preact";

/**
 * The picture and its controls. Rendered once: media-chrome's elements write their own attributes, the session owns the video, and
 * what moves in the bar is rendered into its places when its code is there.
 */
export class Stage extends Component {
  override shouldComponentUpdate(): boolean {
    return false;
  }

  override render() {
    return (
      <media-controller
        class="player"
        defaultstreamtype="live"
        autohide="3"
        hotkeys="noarrowleft noarrowright noj nol no< no>"
        noautoseektolive=""
        nomutedpref=""
      >
        <video slot="media" muted autoplay playsInline preload="auto" aria-label="Video" />
        <div class="bar">
          <div class="scrubber-place" />
          <media-control-bar>
            <media-play-button notooltip="" />
            <media-mute-button notooltip="" />
            <media-volume-range />
            <button class="go-live" type="button" aria-label="Go to live">
              <span class="dot" aria-hidden="true" />
              Live
            </button>
            <span class="clock-place" />
            <span class="spacer" />
            <span class="quality-place" />
            <media-airplay-button notooltip="" />
            <media-pip-button notooltip="" />
            <media-fullscreen-button notooltip="" />
          </media-control-bar>
        </div>
      </media-controller>
    );
  }
}
