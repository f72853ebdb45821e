// What may be done in a call in progress: speak into it, silence the agent, end it.
import { post } from "./api.js";
import { h, note } from "./dom.js";

const SURE_MS = 3000;

export function actions(id) {
  const text = h("input", { placeholder: "Say something to the caller", "aria-label": "Say to the caller", maxlength: 2000 });
  const form = h("form", { class: "actions" }, text, h("button", { class: "primary" }, "Speak"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!text.value.trim()) return;
    const said = text.value;
    text.value = "";
    await attempt(() => post(`/v1/calls/${id}/say`, { text: said }), "it is being said");
  });
  const interrupt = h("button", { type: "button", id: "interrupt" }, "Interrupt");
  interrupt.addEventListener("click", () =>
    attempt(() => post(`/v1/calls/${id}/interrupt`), "the agent is silent"));
  const end = h("button", { type: "button", class: "danger", id: "hangup" }, "Hang up");
  end.addEventListener("click", async () => {
    if (!end.classList.contains("sure")) {
      end.classList.add("sure");
      end.textContent = "Really hang up?";
      setTimeout(() => {
        end.classList.remove("sure");
        end.textContent = "Hang up";
      }, SURE_MS);
      return;
    }
    await attempt(() => post(`/v1/calls/${id}/hangup`), "the call ends");
  });
  form.append(interrupt, end);
  return form;
}

async function attempt(act, done) {
  try {
    await act();
    note(done);
  } catch (error) {
    note(error.message);
  }
}
