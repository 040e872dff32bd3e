/** How often objects of streams were made, were woken by their alarm, and were given a message. */
export interface Wakes {
  lives: number;
  alarms: number;
  messages: number;
}
