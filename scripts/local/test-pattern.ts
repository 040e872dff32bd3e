/** What a test pattern looks like. */
export interface TestPattern {
  width: number;
  height: number;
  fps: number;
  videoKbps: number;
  keyframeSeconds: number;
  /** Ends by itself; endless where it is left out. */
  seconds?: number;
  /** Video only. */
  silent?: boolean;
}

/** Arguments of an FFmpeg that makes a moving pattern with a burned-in clock (UTC) and a tone in real time, as FLV on its output. */
export function testPatternArgs(pattern: TestPattern, now: number): string[] {
  const { width, height, fps, videoKbps, keyframeSeconds, seconds, silent } = pattern;
  const secondOfDay = ((now / 1000) % 86_400).toFixed(3);
  const size = Math.round(height / 12);
  const clock = `drawtext=text='%{pts\\:hms\\:${secondOfDay}} UTC':x=(w-tw)/2:y=h-th-${size}:fontsize=${size}:fontcolor=white:box=1:boxcolor=black@0.7:boxborderw=${Math.round(size / 4)}`;
  const sound = silent ? [] : ["-f", "lavfi", "-re", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000"];
  return [
    ...["-hide_banner", "-loglevel", "error", "-nostdin"],
    ...["-f", "lavfi", "-re", "-i", `testsrc2=size=${width}x${height}:rate=${fps}`, ...sound],
    ...["-vf", `${clock},format=yuv420p`],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"],
    ...["-b:v", `${videoKbps}k`, "-maxrate", `${videoKbps}k`, "-bufsize", `${videoKbps}k`],
    ...["-g", String(Math.round(fps * keyframeSeconds)), "-sc_threshold", "0"],
    ...(silent ? [] : ["-c:a", "aac", "-b:a", "128k"]),
    ...(seconds === undefined ? [] : ["-t", String(seconds)]),
    ...["-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1"],
  ];
}
