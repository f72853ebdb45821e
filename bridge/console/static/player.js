// Plays stretches of a call. Nothing is fetched before somebody wants to listen: each fetch counts as listening.
export class Player extends EventTarget {
  constructor(name) {
    super();
    this.name = name;
    this.soundMs = 0;
    this.atMs = 0;
    this.untilMs = Infinity;
    this.loadedMs = 0;
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.audio.addEventListener("ended", () => this.pause());
    this.frame = 0;
  }

  get playing() {
    return !this.audio.paused;
  }

  // Plays from one time to another, or to the end.
  async play(fromMs = this.atMs, untilMs = Infinity) {
    if (!this.soundMs) return this.seek(fromMs);
    this.untilMs = untilMs;
    const startMs = Math.min(fromMs, Math.max(0, this.soundMs - 50));
    if (!this.loadedMs || startMs >= this.loadedMs - 100) await this.load();
    this.audio.currentTime = startMs / 1000;
    this.atMs = startMs;
    try {
      await this.audio.play();
    } catch {
      return; // another stretch was chosen meanwhile
    }
    this.changed();
    this.follow();
  }

  load() {
    this.loadedMs = this.soundMs; // the recording of a call in progress has grown when it is asked for again
    this.audio.src = `/console/recorded/${this.name}/sound?until_ms=${this.loadedMs}`;
    return new Promise((resolve) => {
      this.audio.addEventListener("loadedmetadata", resolve, { once: true });
      this.audio.addEventListener("error", resolve, { once: true });
    });
  }

  seek(atMs) {
    this.atMs = Math.max(0, atMs);
    if (this.playing) this.audio.currentTime = this.atMs / 1000;
    this.changed();
  }

  toggle() {
    if (this.playing) this.pause();
    else if (this.soundMs) this.play(this.atMs >= this.soundMs - 100 ? 0 : this.atMs);
  }

  pause() {
    this.audio.pause();
    cancelAnimationFrame(this.frame);
    this.changed();
  }

  follow() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      if (!this.playing) return this.changed();
      this.atMs = this.audio.currentTime * 1000;
      if (this.atMs >= this.untilMs) this.pause();
      else this.follow();
      this.changed();
    });
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  close() {
    this.pause();
    this.audio.removeAttribute("src");
  }
}
