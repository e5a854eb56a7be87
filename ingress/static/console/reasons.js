// Why a conversation waits, and what an operator can do about it.

import { badge } from "./dom.js";

const REASONS = {
  no_owner: ["no owner", "bad", "Nobody works on its messages. An owner may have died: another one takes over within the lease time. If it stays so, free it."],
  many_attempts: ["many attempts", "bad", "Its owners went away in the middle of answering. It is tried alone, after a pause, and given up after five attempts."],
  ai: ["AI", "busy", "The AI service is being asked. If that takes too long, free it: the running job is cancelled."],
  running_turn: ["running turn", "busy", "Further messages come after the turn that runs."],
  owner: ["its owner", "busy", "Its owner has the messages and has not begun: it collects a burst, or comes to them soon."],
  delivery: ["delivery", "warn", "The platform has not taken an answer yet; it is tried again. From 16 such answers on no further turn starts."],
  agent: ["a person", "calm", "A person has it: messages are recorded and not answered, until it is given back to the bot."],
};

export function reasonBadges(reasons) {
  return reasons.map((it) => badge(REASONS[it]?.[0] ?? it, REASONS[it]?.[1] ?? ""));
}

export function explained(reason) {
  return REASONS[reason]?.[2] ?? reason;
}

const TONES = {
  active: "good", with_agent: "calm", ended: "",
  queued: "busy", processing: "busy", completed: "good", failed: "bad", cancelled: "warn",
  rejected: "warn", superseded: "", pending: "busy", sent: "good", dead: "bad",
};

export function stateBadge(state) {
  return badge(state.replaceAll("_", " "), TONES[state] ?? "");
}
