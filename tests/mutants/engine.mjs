// Guards of the engine's core, each broken once. Only the simulator plays it together with a store.
// Where `file` is a folder, the text has to be in one of its files.

export default [
  {
    name: 'a step whose answer was lost is not sent again',
    file: 'src/engine',
    from: 'return Some(step.clone());',
    to: 'drop(step.clone());',
  },
  {
    name: 'a timeout does not end its run',
    file: 'src/engine',
    from: 'Phase::Begun => self.abandon(slot, &Outcome::Timeout, Stop::Timeout(timeout), now),',
    to: 'Phase::Begun => drop(timeout),',
  },
  {
    name: 'tasks of dead nodes are left alone',
    file: 'src/engine',
    from: 'self.settle_claimed(claimed, &Outcome::Lost, 0, 0);',
    to: 'drop(claimed.clone());',
  },
  {
    name: 'an ended run does not give its slot back',
    file: 'src/engine',
    from: 'self.dispatcher.ended(run.lane, slot, exit_of(run.phase, outcome), now);',
    to: '',
  },
  {
    name: 'one more than allowed runs at once',
    file: 'src/policy/gate.rs',
    from: 'limit.saturating_sub(*running)',
    to: '(*limit + 1).saturating_sub(*running)',
  },
  {
    name: 'a run that was asked to stop may take for ever',
    file: 'src/engine',
    from: 'self.arm_stored(slot, until, Alarm::Grace(slot));',
    to: 'drop(until);',
  },
  {
    name: 'a paused queue goes on with what was claimed ahead',
    file: 'src/engine',
    from: 'matches!(run.phase, Phase::Ready | Phase::Handed);\n        for slot in self.slots(unbegun) {',
    to: 'matches!(run.phase, Phase::Ready | Phase::Handed);\n        for slot in self.slots(|run| unbegun(run) && false) {',
  },
  {
    name: 'a hung host keeps its runs',
    file: 'src/engine',
    from: 'if silent >= self.config.stall_limit {',
    to: 'if silent >= self.config.stall_limit && self.config.stall_limit == 0 {',
  },
].map(mutant => ({ ...mutant, test: 'simulator' }))
