/** How much can be played on from here, ms. */
export function bufferedMsOf({ buffered, currentTime }: HTMLVideoElement): number {
  for (let index = 0; index < buffered.length; index++) {
    const end = buffered.end(index);
    if (buffered.start(index) <= currentTime && currentTime <= end) return (end - currentTime) * 1000;
  }
  return 0;
}
