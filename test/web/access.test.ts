import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { claimToken, playlistUrl } from "../../workers/web/pages/watch/playback-token.ts";
import { RecordingSearch } from "../../workers/web/pages/watch/recording-search.ts";
import { type Found, lookUpRecording, lookUpStream } from "../../workers/web/pages/watch/stream-lookup.ts";
import { parseMediaPlaylists } from "../../workers/web/pages/watch/warm-up.ts";

/** A page at an address, whose storage can be forbidden. */
function pageAt(href: string, stored: Map<string, string> | null = new Map()): Window {
  const location = new URL(href);
  const forbid = () => {
    throw new Error("SecurityError");
  };
  return {
    location,
    sessionStorage: {
      getItem: (key: string) => (stored === null ? forbid() : (stored.get(key) ?? null)),
      setItem: (key: string, value: string) => (stored === null ? forbid() : void stored.set(key, value)),
    },
    history: {
      state: null,
      replaceState: (_state: unknown, _unused: string, path: string) => {
        location.href = new URL(path, href).href;
      },
    },
  } as unknown as Window;
}

function answer(status: number, text = "") {
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => new Response(status === 204 ? null : text, { status })),
  );
}

afterEach(() => vi.unstubAllGlobals());

describe("a viewer's token", () => {
  it("is taken out of the address, and found again by the same tab for the same stream", () => {
    const stored = new Map<string, string>();
    const page = pageAt("https://live.example/watch/one?x=1#token=a.b-c_d.E", stored);
    expect(claimToken("one", page)).toBe("a.b-c_d.E");
    expect(page.location.href).toBe("https://live.example/watch/one?x=1");
    expect(claimToken("one", pageAt("https://live.example/watch/one", stored))).toBe("a.b-c_d.E");
    expect(claimToken("two", pageAt("https://live.example/watch/two", stored))).toBeNull();
  });

  it("is good for the page where storage is forbidden", () => {
    expect(claimToken("one", pageAt("https://live.example/watch/one#token=a.b.c", null))).toBe("a.b.c");
    expect(claimToken("one", pageAt("https://live.example/watch/one", null))).toBeNull();
  });

  it.each(["#token=", "#token=a/../b", "#token=a b", "#x=1", `#token=${"a".repeat(5000)}`])("is not %s", (fragment) => {
    expect(claimToken("one", pageAt(`https://live.example/watch/one${fragment}`))).toBeNull();
  });

  it("stands before the stream's path", () => {
    expect(playlistUrl("one", null)).toBe("/hls/one/index.m3u8");
    expect(playlistUrl("one", "a.b.c")).toBe("/t/a.b.c/hls/one/index.m3u8");
  });
});

describe("what an address leads to", () => {
  it.each([
    [426, "there"],
    [404, "absent"],
    [401, "denied"],
    [503, "unknown"],
  ] as const)("is told by a status of %i", async (status, found) => {
    answer(status);
    expect(await lookUpStream("one", null)).toBe(found);
  });

  it("is unknown where nothing answers, and is asked for with the token", async () => {
    const ask = vi.fn(() => Promise.reject(new Error("offline")));
    vi.stubGlobal("fetch", ask);
    expect(await lookUpStream("one", "a.b.c")).toBe("unknown");
    expect(ask).toHaveBeenCalledWith("/api/v1/streams/one/ws?viewer=stream-lookup&token=a.b.c", expect.anything());
  });

  it("is a recording where the multivariant playlist lists one", async () => {
    answer(200, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n3/source/recording.m3u8\n");
    expect(await lookUpRecording("/hls/one/index.m3u8")).toBe("there");
    answer(200, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n3/source/index.m3u8\n");
    expect(await lookUpRecording("/hls/one/index.m3u8")).toBe("unknown");
    answer(410);
    expect(await lookUpRecording("/hls/one/index.m3u8")).toBe("gone");
  });
});

describe("the search for a recording", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  async function search(answers: Found[], stopAfterMs = Number.POSITIVE_INFINITY) {
    const look = vi.fn(async () => answers.shift() ?? "unknown");
    const onFound = vi.fn();
    const recording = new RecordingSearch(look, onFound);
    recording.start();
    if (Number.isFinite(stopAfterMs)) {
      await vi.advanceTimersByTimeAsync(stopAfterMs);
      recording.stop();
    }
    await vi.advanceTimersByTimeAsync(600_000);
    return { looks: look.mock.calls.length, found: onFound.mock.calls.length };
  }

  it("goes on while it is being made, and ends with it", async () => {
    expect(await search(["unknown", "unknown", "there", "there"])).toEqual({ looks: 3, found: 1 });
  });

  it("ends when it is gone, and when it never comes", async () => {
    expect(await search(["gone"])).toEqual({ looks: 1, found: 0 });
    expect(await search([])).toEqual({ looks: 6, found: 0 });
  });

  it("tells nothing once it was stopped", async () => {
    expect(await search(["unknown", "there"], 100)).toEqual({ looks: 1, found: 0 });
  });
});

describe("what is fetched before the player is there", () => {
  it("is the one variant, and the renditions beside it", () => {
    const audio = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",URI="1/audio/index.m3u8"\n';
    const variant = (name: string) => `#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="a,b"\n1/${name}/index.m3u8\n`;
    expect(parseMediaPlaylists(`#EXTM3U\n${audio}${variant("source")}`)).toEqual(["1/source/index.m3u8", "1/audio/index.m3u8"]);
    expect(parseMediaPlaylists(`#EXTM3U\n${variant("source")}`)).toEqual(["1/source/index.m3u8"]);
    expect(parseMediaPlaylists(`#EXTM3U\n${audio}${variant("720p")}${variant("360p")}`)).toEqual(["1/audio/index.m3u8"]);
    expect(parseMediaPlaylists("")).toEqual([]);
  });
});
