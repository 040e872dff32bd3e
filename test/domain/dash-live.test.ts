import { describe, expect, it } from "vitest";
import { composeMpd } from "../../domain/dash/live-mpd.ts";
import { encodeMpd } from "../../domain/dash/mpd.ts";
import { AUDIO, DashScene, STARTED_AT, VIDEO } from "./dash-scene.ts";
import { findSchemaFaults } from "./mpd-schema.ts";

describe("a live manifest", () => {
  it("[DA1] [DA2] [DA4] in low latency lists the open segment and the next, and says when they can be asked for", () => {
    const text = new DashScene().connect(1, STARTED_AT).segments(4).mpd();
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="2026-02-03T04:05:06.000Z" publishTime="2026-02-03T04:05:14.005Z" minimumUpdatePeriod="PT1S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT2S" minBufferTime="PT0.5S" maxSegmentDuration="PT2.005333S">
  <ServiceDescription id="0">
    <Latency target="2000" min="1500" max="8000"/>
    <PlaybackRate min="0.96" max="1.1"/>
  </ServiceDescription>
  <Period id="1" start="PT0S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1" availabilityTimeOffset="1.5" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="0" d="180000" r="5"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="129033" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1" availabilityTimeOffset="1.505" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="0" d="96256"/>
            <S d="95232"/>
            <S d="96256" r="3"/>
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

  it("[DA1] [DA2] in standard latency lists whole segments only", () => {
    const text = new DashScene().connect(1, STARTED_AT).segments(4).mpd({ partTarget: null });
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="2026-02-03T04:05:06.000Z" publishTime="2026-02-03T04:05:14.005Z" minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT6S" minBufferTime="PT2S" maxSegmentDuration="PT2.005333S">
  <Period id="1" start="PT0S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="0" d="180000" r="3"/>
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
            <S d="96256" r="1"/>
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

  it("[DA2] counts both tracks from the first picture, wherever their clock stands then", () => {
    const text = new DashScene().connect(1, STARTED_AT, 10.08).segments(1).mpd({ partTarget: null });
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="2026-02-03T04:05:06.000Z" publishTime="2026-02-03T04:05:08.005Z" minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT6S" minBufferTime="PT2S" maxSegmentDuration="PT2.005333S">
  <Period id="1" start="PT0S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="source" codecs="avc1.64001f" bandwidth="3000000" width="1280" height="720" frameRate="30">
        <SegmentTemplate timescale="90000" presentationTimeOffset="907200" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="907200" d="180000"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="128000" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="483840" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1">
          <SegmentTimeline>
            <S t="483328" d="96256"/>
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

  it("[DA1] [DA4] of a broadcast without video follows the audio", () => {
    const text = new DashScene([AUDIO]).connect(1, STARTED_AT).segments(5).mpd();
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic" availabilityStartTime="2026-02-03T04:05:06.000Z" publishTime="2026-02-03T04:05:16.005Z" minimumUpdatePeriod="PT1S" timeShiftBufferDepth="PT60S" suggestedPresentationDelay="PT2S" minBufferTime="PT0.5S" maxSegmentDuration="PT2.005333S">
  <ServiceDescription id="0">
    <Latency target="2000" min="1500" max="8000"/>
    <PlaybackRate min="0.96" max="1.1"/>
  </ServiceDescription>
  <Period id="1" start="PT0S">
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="und" segmentAlignment="true" startWithSAP="1">
      <Representation id="audio" codecs="mp4a.40.2" bandwidth="129033" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <SegmentTemplate timescale="48000" presentationTimeOffset="0" media="../../media/stream/1/$RepresentationID$/1-$Number$.m4s" initialization="../../media/stream/1/$RepresentationID$/init-1.mp4" startNumber="1" availabilityTimeOffset="1.505" availabilityTimeComplete="false">
          <SegmentTimeline>
            <S t="0" d="96256"/>
            <S d="95232"/>
            <S d="96256" r="4"/>
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

  it("[DA4] lists whole segments only, and keeps players behind them, where key frames are odd", () => {
    const { source = [], ...others } = new DashScene().connect(1, STARTED_AT).segments(4).window().segments;
    const odd = source.map((one, index) => {
      const time = {
        start: [0, 180_000, 333_000, 540_000][index] as number,
        duration: [180_000, 153_000, 207_000, 180_000][index] as number,
      };
      return { ...one, time: { ...time, timescale: 90000 } };
    });
    const { live, periods } = composeMpd(
      new DashScene()
        .connect(1, STARTED_AT)
        .segments(4)
        .window({ segments: { source: odd, ...others } }),
    );
    expect(live).toMatchObject({ latency: null, suggestedPresentationDelay: 6 });
    const templates = periods.flatMap((period) => period.adaptationSets.map((set) => set.representations[0]?.template));
    expect(templates.map((template) => template?.availabilityTimeOffset)).toEqual([null, null]);
    expect(templates[0]?.timeline.reduce((count, entry) => count + entry.count, 0)).toBe(4);
  });

  it("[DA4] announces nothing while no encoder is connected, and does not send those who join further back", () => {
    const { live, periods } = composeMpd(new DashScene().connect(1, STARTED_AT).segments(4).window({ connected: false }));
    expect(live?.latency?.target).toBe(2);
    expect(periods[0]?.adaptationSets[0]?.representations[0]?.template).toMatchObject({
      availabilityTimeOffset: null,
      timeline: [{ start: 0, duration: 180_000, count: 4 }],
    });
  });

  it("[DA2] leaves no hole between segments for players to wait in: one lasts until the next", () => {
    const window = new DashScene([VIDEO]).connect(1, STARTED_AT).segments(3).window({ partTarget: null });
    const late = window.segments.source?.map((one) =>
      one.msn < 3 ? one : { ...one, time: { start: 450_000, duration: 180_000, timescale: 90000 } },
    );
    const mpd = composeMpd({ ...window, segments: { source: late ?? [] } });
    expect(mpd.periods[0]?.adaptationSets[0]?.representations[0]?.template.timeline).toEqual([
      { start: 0, duration: 180_000, count: 1 },
      { start: 180_000, duration: 270_000, count: 1 },
      { start: 450_000, duration: 180_000, count: 1 },
    ]);
    expect(mpd.maxSegmentDuration).toBe(3);
  });

  it.each([
    [30, "30"],
    [29.97, "30000/1001"],
    [23.976, "24000/1001"],
    [59.94, "60000/1001"],
    [12.5, "12500/1000"],
    [null, null],
  ])("[DA1] writes %s frames a second as the schema allows", (frame_rate, written) => {
    const window = new DashScene([{ ...VIDEO, frame_rate }]).connect(1, STARTED_AT).segments(1).window();
    expect(composeMpd(window).periods[0]?.adaptationSets[0]?.representations[0]?.video?.frameRate).toBe(written);
    expect(findSchemaFaults(encodeMpd(composeMpd(window)))).toEqual([]);
  });
});

describe("a manifest's text", () => {
  it("[DA1] escapes what stands in attributes", () => {
    const text = new DashScene([{ ...VIDEO, codec: 'a"<&>' }]).connect(1, STARTED_AT).segments(1).mpd();
    expect(text).toContain('codecs="a&quot;&lt;&amp;&gt;"');
  });

  it.each([
    ["a name where a number must be", 'AdaptationSet id="1"', 'AdaptationSet id="video"', 'AdaptationSet has id="video"'],
    ["a number where a duration must be", 'minimumUpdatePeriod="PT1S"', 'minimumUpdatePeriod="1"', 'MPD has minimumUpdatePeriod="1"'],
    ["a missing date", / availabilityStartTime="[^"]*"/, "", "MPD has no availabilityStartTime"],
    ["a missing bandwidth", / bandwidth="[^"]*"/, "", "Representation has no bandwidth"],
    ["no period", /<Period.*<\/Period>/s, "", "MPD has no Period+"],
    [
      "elements out of order",
      /( *<ServiceDescription.*<\/ServiceDescription>\n)(.*)(<\/MPD>)/s,
      "$2$1$3",
      "MPD holds Period, UTCTiming, ServiceDescription",
    ],
  ])("is told from one with %s", (_, found, broken, fault) => {
    const text = new DashScene().connect(1, STARTED_AT).segments(4).mpd();
    expect(findSchemaFaults(text.replace(found, broken))).toEqual([fault]);
  });
});
