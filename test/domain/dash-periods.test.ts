import { describe, expect, it } from "vitest";
import { composeMpd } from "../../domain/dash/live-mpd.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import { DashScene, STARTED_AT } from "./dash-scene.ts";
import { findSchemaFaults, parseXml } from "./mpd-schema.ts";

describe("periods", () => {
  it("[DA3] begin with each connection, at its place on the wall clock", () => {
    const text = new DashScene()
      .connect(1, STARTED_AT)
      .segments(2)
      .connect(2, STARTED_AT + 14_250, 100)
      .segments(3)
      .mpd();
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="2026-02-03T04:05:06.000Z" publishTime="2026-02-03T04:05:26.255Z" minimumUpdatePeriod="PT1S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT2S" minBufferTime="PT0.5S" maxSegmentDuration="PT2.005333S">
  <ServiceDescription id="0">
    <Latency target="2000" min="1500" max="8000"/>
    <PlaybackRate min="0.96" max="1.1"/>
  </ServiceDescription>
  <Period id="1" start="PT0S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="180000" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="129033" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="96256"/>
            <S d="95232"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <Period id="2" start="PT14.25S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="9000000" media="../../media/stream/1/$RepresentationID$/2-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-2.mp4" startNumber="3" availabilityTimeOffset="1.5" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="9000000" d="180000" r="4"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="128000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="4800000" media="../../media/stream/1/$RepresentationID$/2-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-2.mp4" startNumber="3" availabilityTimeOffset="1.505" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="4799488" d="96256" r="4"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="../../time"/>
</MPD>
`);
    expect(findSchemaFaults(text)).toEqual([]);
  });

  it("[DA3] begin after each lost segment, so that nothing lists it", () => {
    const text = new DashScene().connect(1, STARTED_AT).segments(5, ["audio/3"]).mpd();
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="2026-02-03T04:05:06.000Z" publishTime="2026-02-03T04:05:16.005Z" minimumUpdatePeriod="PT1S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT2S" minBufferTime="PT0.5S" maxSegmentDuration="PT2.005333S">
  <ServiceDescription id="0">
    <Latency target="2000" min="1500" max="8000"/>
    <PlaybackRate min="0.96" max="1.1"/>
  </ServiceDescription>
  <Period id="1" start="PT0S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="180000" r="2"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="129033" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="96256"/>
            <S d="95232"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <Period id="1-4" start="PT6S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="540000" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="4" availabilityTimeOffset="1.5" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="540000" d="180000" r="3"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="128000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="288000" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="4" availabilityTimeOffset="1.505" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="287744" d="96256" r="3"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="../../time"/>
</MPD>
`);
    expect(findSchemaFaults(text)).toEqual([]);
  });

  it.each(["source/3", "audio/3"])("[DA3] do not run on over a lost segment that nothing has followed yet: %s", (lost) => {
    const { periods } = composeMpd(new DashScene().connect(1, STARTED_AT).segments(3, [lost]).window());
    const listed = periods.flatMap(({ adaptationSets }) => adaptationSets.flatMap((set) => set.representations));
    const { template } = listed.find((one) => lost.startsWith(one.id)) ?? {};
    expect(template?.timeline.reduce((count, entry) => count + entry.count, 0)).toBe(2);
    expect(template?.availabilityTimeOffset).toBeNull();
  });

  it("[DA3] keep their names, starts and clocks while the window moves, and go when nothing of them is left", () => {
    const scene = new DashScene()
      .connect(1, STARTED_AT)
      .segments(4)
      .connect(2, STARTED_AT + 14_250, 100);
    const seen = new Map<string, object>();
    for (let listed = 0; listed < 30; listed++) {
      scene.segments(1, ["source/12"]);
      scene.timeline.slide(20);
      for (const { id, start, adaptationSets } of composeMpd(scene.window()).periods) {
        const facts = { start, offsets: adaptationSets.map((set) => set.representations[0]?.template.presentationTimeOffset) };
        expect(seen.get(id) ?? facts).toEqual(facts);
        seen.set(id, facts);
      }
    }
    expect([...seen.keys()]).toEqual(["1", "2", "2-13"]);
    expect(composeMpd(scene.window()).periods.map((period) => period.id)).toEqual(["2-13"]);
  });

  it("[DA3] leave out segments whose times are not known; without any other there is no period", () => {
    const window = new DashScene().connect(1, STARTED_AT).segments(3).window();
    const unread = (segments: Segment[] = []) => segments.map((one) => ({ ...one, time: null }));
    expect(
      composeMpd({ ...window, segments: { source: unread(window.segments.source), audio: unread(window.segments.audio) } }).periods,
    ).toEqual([]);
  });
});

describe("the manifest of what is over", () => {
  it("[DA5] is static, and says how long everything lasts", () => {
    const scene = new DashScene()
      .connect(1, STARTED_AT)
      .segments(2)
      .connect(2, STARTED_AT + 14_250, 100)
      .segments(2);
    const text = scene.mpd({ ended: true, connected: false, root: "../../../" });
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" mediaPresentationDuration="PT18.25S" minBufferTime="PT0.5S" maxSegmentDuration="PT2.005333S">
  <Period id="1" start="PT0S" duration="PT14.25S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="0" media="../../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="180000" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="129033" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="0" media="../../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="96256"/>
            <S d="95232"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
  <Period id="2" start="PT14.25S" duration="PT4S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="9000000" media="../../../media/stream/1/$RepresentationID$/2-$Number$.m4s" initialization="../../../media/stream/1/$RepresentationID$/init-2.mp4" startNumber="3">
          <SegmentTimeline>
            <S t="9000000" d="180000" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="128000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="4800000" media="../../../media/stream/1/$RepresentationID$/2-$Number$.m4s" initialization="../../../media/stream/1/$RepresentationID$/init-2.mp4" startNumber="3">
          <SegmentTimeline>
            <S t="4799488" d="96256" r="1"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
`);
    expect(findSchemaFaults(text)).toEqual([]);
  });

  it("[DA5] begins with what is left of the window, on the clock that live players go by", () => {
    const scene = new DashScene().connect(1, STARTED_AT).segments(40);
    scene.timeline.slide(10);
    const live = composeMpd(scene.window({ partTarget: null }));
    const over = composeMpd(scene.window({ ended: true }));
    expect(over.periods[0]).toMatchObject({ id: "1", start: 70, duration: 10 });
    expect(over.mediaPresentationDuration).toBe(80);
    for (const kind of [0, 1]) {
      const [before, after] = [live, over].map(({ periods }) => {
        const { timescale, timeline, presentationTimeOffset } = periods[0]?.adaptationSets[kind]?.representations[0]?.template ?? {};
        return (periods[0]?.start ?? 0) + ((timeline?.[0]?.start ?? 0) - (presentationTimeOffset ?? 0)) / (timescale ?? 1);
      });
      expect(after).toBeCloseTo(before as number, 9);
    }
    expect(parseXml(scene.mpd({ ended: true })).attributes).toMatchObject({ type: "static", mediaPresentationDuration: "PT80S" });
  });
});
