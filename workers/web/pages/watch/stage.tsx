import { Component } from "preact";

/**
 * The picture and its controls. Rendered once: media-chrome's elements write their own attributes, and the session
 * owns the video.
 */
export class Stage extends Component<{ onGoLive: () => void }> {
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
        <video slot="media" muted autoplay playsInline preload="auto" aria-label="Live video" />
        <media-control-bar>
          <media-play-button notooltip="" />
          <media-mute-button notooltip="" />
          <media-volume-range />
          <button class="go-live" type="button" aria-label="Go to live" onClick={this.props.onGoLive}>
            <span class="dot" aria-hidden="true" />
            Live
          </button>
          <span class="spacer" />
          <media-pip-button notooltip="" />
          <media-fullscreen-button notooltip="" />
        </media-control-bar>
      </media-controller>
    );
  }
}
