// Asks for the API key once. It goes to the server alone and is kept nowhere in the page.
import { post } from "./api.js";
import { h } from "./dom.js";

export function showLogin(view, done) {
  const key = h("input", { type: "password", name: "key", autocomplete: "current-password", required: true, id: "key" });
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h("form", { class: "card login" },
    h("h1", {}, "Talkspurt console"), h("label", { for: "key" }, "API key of this server"), key,
    h("button", { class: "primary" }, "Log in"), problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await post("/console/login", { key: key.value });
      done();
    } catch (error) {
      problem.textContent = error.message;
      key.select();
    }
  });
  view.append(form);
  key.focus();
  return () => {};
}
