import "../base.css";
import "./home.css";
import { parsePastedStream } from "../watch/address.ts";

for (const place of document.querySelectorAll("[data-origin]")) place.textContent = location.origin;

const form = document.querySelector("#open") as HTMLFormElement;
const input = document.querySelector("#stream") as HTMLInputElement;
const problem = document.querySelector("#problem") as HTMLElement;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = parsePastedStream(input.value);
  if (id !== null) return location.assign(`/watch/${id}`);
  problem.textContent = "That is no stream id. It has 24 letters and digits, as at the end of a watch link.";
  input.setAttribute("aria-invalid", "true");
  input.focus();
});

input.addEventListener("input", () => {
  problem.textContent = "";
  input.removeAttribute("aria-invalid");
});
