/** hls.js where it runs, else the browser's own player. */
export async function importEngine() {
  const { HlsEngine, isHlsSupported } = await import("./hls-engine.ts");
  return isHlsSupported() ? HlsEngine : (await import("./native-engine.ts")).NativeEngine;
}
