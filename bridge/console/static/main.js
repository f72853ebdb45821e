// Which view is shown: #/calls, #/call/NAME, #/engine or #/playground; the login where nobody has logged in.
import { post } from "./api.js";
import { showCall } from "./call.js";
import { showCalls } from "./calls.js";
import { showEngine } from "./engine.js";
import { showLogin } from "./login.js";
import { showPlayground } from "./playground.js";

const VIEWS = { calls: showCalls, call: showCall, engine: showEngine, playground: showPlayground };
const view = document.getElementById("view");
let close = () => {};

function show(next, argument) {
  close();
  view.replaceChildren();
  document.title = "Talkspurt console";
  window.scrollTo(0, 0);
  close = next(view, argument);
}

function route() {
  const [, name = "calls", argument = ""] = location.hash.split("/");
  document.body.classList.remove("loggedout");
  for (const link of document.querySelectorAll("nav a"))
    link.toggleAttribute("aria-current", link.hash === `#/${name === "call" ? "calls" : name}`);
  show(VIEWS[name] || showCalls, argument);
}

document.addEventListener("loggedout", () => {
  if (document.body.classList.contains("loggedout")) return;
  document.body.classList.add("loggedout");
  show(showLogin, route);
});
document.getElementById("logout").addEventListener("click", async () => {
  await post("/console/logout");
  document.dispatchEvent(new Event("loggedout"));
});

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme.startsWith("dark");
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  dispatchEvent(new Event("resize"));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
  document.getElementById("search")?.focus();
  event.preventDefault();
});
window.addEventListener("hashchange", route);
route();
