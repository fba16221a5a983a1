//! The contract of a store, as checks that run on any store: the specification that the others are held to.
//!
//! A store is tested by giving each check a `Fixture` with a fresh, empty store:
//!
//! ```
//! # use std::future::{Future, ready};
//! # use std::{pin::Pin, sync::Arc};
//! use task::store::{Store, memory::MemoryStore, suite};
//! use task::time::{Clock, ManualClock};
//!
//! struct Memory(MemoryStore, Arc<ManualClock>);
//!
//! impl suite::Fixture for Memory {
//!     fn store(&self) -> &dyn Store {
//!         &self.0
//!     }
//!     fn pass(&self, time: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
//!         self.1.advance(time);
//!         Box::pin(ready(()))
//!     }
//!     fn lease(&self) -> u64 {
//!         30_000
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! for check in suite::all() {
//!     let clock = Arc::new(ManualClock::at(1_000_000));
//!     check.run(Box::new(Memory(MemoryStore::with_clock(clock.clone(), 30_000), clock))).await;
//! }
//! # });
//! ```
//!
//! `store_checks!` hands the names to a macro of yours, which can make a test case of each.

mod amend;
mod cells;
mod claims;
mod edges;
mod flows;
mod keys;
mod limits;
mod nodes;
mod notes;
mod places;
mod push;
mod quiet;
mod reading;
mod replay;
mod retention;
mod revival;
mod settle;
mod stage;

use std::future::Future;
use std::pin::Pin;

use crate::store::Store;
use crate::time::Millis;

use stage::Stage;

/// A store to be checked, and what the checks need beside it.
pub trait Fixture: Send + Sync {
    /// The store, empty at first.
    fn store(&self) -> &dyn Store;

    /// Lets at least so much time pass on the store's clock; by waiting, where it cannot be moved.
    fn pass(&self, time: Millis) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// How long a node may stay silent before it is dead.
    fn lease(&self) -> Millis;

    /// Looks for contradictions in the store, where it can tell.
    fn verify(&self) -> Result<(), String> {
        Ok(())
    }
}

type Run = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One promise of a store.
#[derive(Clone, Copy)]
pub struct Check {
    /// What it is about.
    pub topic: &'static str,
    /// The promise, in words.
    pub name: &'static str,
    run: Run,
}

impl Check {
    /// Checks a fresh store; panics where it breaks the promise.
    pub async fn run(&self, fixture: Box<dyn Fixture>) {
        let stage = Stage::new(fixture);
        (self.run)(&stage).await;
        stage.verify();
    }
}

/// The check with this name.
pub fn check(topic: &str, name: &str) -> Option<Check> {
    all().into_iter().find(|check| (check.topic, check.name) == (topic, name))
}

/// Calls a macro with the names of all checks: `topic: [name, ...]` for every topic.
#[macro_export]
macro_rules! store_checks {
    ($then:ident) => {
        $then! {
            push: [
                a_refused_push_leaves_nothing_and_does_not_touch_the_others,
                answers_come_in_order, an_id_is_taken_once_whatever_became_of_it,
                an_id_with_another_input_is_refused,
                an_id_with_another_input_is_refused_whatever_became_of_it, an_id_twice_in_one_push_is_one_task,
                a_minted_id_again_is_the_same_push,
                what_was_pushed_comes_back_byte_for_byte,
                names_that_look_alike_are_different,
                more_waiting_tasks_than_allowed_are_refused,
                what_takes_no_more_room_is_not_refused_for_want_of_it,
                a_guard_moves_with_the_push_or_refuses_it,
            ]
            keys: [
                a_held_key_gives_its_holder, a_key_belongs_to_its_queue,
                a_key_is_refused_while_it_is_held,
                a_key_is_free_as_soon_as_its_holder_has_ended,
                a_holder_that_will_run_again_keeps_its_key,
                two_of_one_push_meet_like_any_others,
                a_blocker_that_stands_for_another_task_is_that_task,
                replace_cancels_a_waiting_holder,
                replace_takes_the_key_of_a_running_holder_and_waits_for_it,
                a_superseded_run_is_not_repeated,
                every_later_holder_waits_for_the_superseded_run,
                a_successor_runs_even_if_the_superseded_run_fails,
                replace_cancels_a_holder_whatever_it_waits_for,
                a_successor_waits_for_its_own_blockers_as_well,
                a_superseded_run_may_be_asked_to_stop,
                a_revived_successor_waits_for_a_run_that_goes_on,
                a_key_is_free_when_its_holder_ends_with_a_blocker,
                an_id_that_is_known_comes_before_its_key, what_was_refused_has_taken_no_key,
            ]
            quiet: [
                a_debounce_keeps_the_newest_input_and_slides,
                a_debounce_slides_no_further_than_max_wait,
                a_debounce_past_all_numbers_is_just_long,
                a_debounce_leaves_a_started_task_alone,
                the_same_id_may_come_again_with_the_input_before_the_debounce,
                a_throttle_gives_the_first_task_back_for_its_time,
                a_throttle_outlives_its_task, a_throttle_comes_before_conflicts,
                after_its_time_a_throttled_key_is_like_any_other,
            ]
            places: [
                a_delayed_task_is_never_early, a_date_is_taken_as_it_is,
                the_longest_delay_is_no_overflow,
                many_due_tasks_become_ready_in_bounded_steps,
                promote_starts_a_delayed_task_now,
                promote_ends_a_backoff_but_not_a_wait_for_others,
                a_blocked_task_keeps_the_start_that_it_was_given,
                plain_tasks_are_changed_like_any_others, a_start_can_be_moved_both_ways,
                a_priority_can_be_changed_while_a_task_waits,
                a_task_that_was_not_started_in_time_expires,
                an_expired_task_is_not_claimed_however_many_there_are,
                a_task_that_has_run_does_not_expire,
                changes_of_all_waiting_tasks_come_to_an_end,
            ]
            claims: [
                a_larger_priority_goes_first_and_equals_in_order,
                retries_go_to_the_back_and_what_was_given_back_keeps_its_place,
                a_claim_shows_how_far_the_task_has_come, no_claim_is_given_twice,
                only_named_kinds_are_claimed, a_queue_can_be_picked,
                no_more_than_asked_for_in_a_lane_and_in_all,
                lanes_are_merged_by_priority_and_arrival,
                a_lane_that_is_named_twice_gives_each_task_once,
                a_paused_queue_starts_nothing, a_pause_does_not_touch_what_runs,
                groups_take_turns, one_task_waits_two_turns_at_most_for_a_crowd,
                turns_never_go_before_priorities,
            ]
            limits: [
                the_total_of_a_kind_spans_nodes_and_queues,
                the_end_of_a_run_makes_room_in_the_same_step,
                the_limit_of_a_group_spans_nodes_and_queues,
                full_groups_do_not_hold_up_the_others,
                a_shared_rate_lets_a_burst_through_and_then_one_at_a_time,
                a_rate_says_when_it_has_room_again, every_place_under_a_rate_is_used,
                a_rate_by_group_gives_every_group_its_own, a_rate_is_spent_only_on_starts,
                a_limited_kind_does_not_hold_up_another,
            ]
            settle: [
                a_success_completes, the_last_failure_fails,
                other_failures_wait_for_their_retry, a_snooze_waits_and_costs_nothing,
                a_release_is_ready_at_once_and_costs_nothing,
                losses_are_counted_and_the_fourth_is_the_last,
                a_cancelled_run_ends_cancelled, a_request_to_stop_beats_every_outcome,
                stale_settlements_change_nothing, a_run_ends_once,
                stale_ones_do_not_disturb_the_rest_of_their_batch,
                an_id_that_is_used_again_is_fenced_too, the_newest_attempts_are_kept,
                a_success_spawns_tasks_in_the_same_step, spawned_tasks_meet_keys_like_any_others,
                nothing_else_spawns,
                a_circle_among_spawned_tasks_does_not_wait_for_ever,
            ]
            replay: [
                the_same_turn_gives_the_same_claims, the_same_turn_settles_once,
                the_same_turn_says_again_what_ended, every_node_counts_its_own_turns,
                a_repeated_push_adds_nothing_even_after_the_end,
            ]
            edges: [
                a_diamond_runs_in_order, the_last_blocker_releases_in_the_same_step,
                a_blocker_that_fails_cancels_all_that_wait_for_it,
                a_retry_does_not_count_as_the_end_of_a_blocker,
                on_failure_run_runs_all_the_same, a_blocker_may_have_ended_before,
                an_unknown_blocker_is_refused, a_circle_is_refused_with_its_path,
                the_same_blocker_twice_is_one, a_blocked_task_waits_for_its_time_as_well,
                a_wide_cascade_is_worked_off, a_long_chain_is_worked_off,
                a_removed_blocker_counts_as_cancelled,
                an_edge_ends_with_the_wait_that_it_was_made_for,
            ]
            flows: [
                a_flow_is_its_tasks_and_no_others, a_flow_comes_back_with_the_task,
                what_a_filter_changes_of_a_flow_is_nothing_else,
                a_pruned_task_is_not_in_its_flow, a_flow_that_nothing_can_refuse_is_as_any_other,
            ]
            notes: [
                steps_are_kept_for_the_next_run, a_step_may_be_noted_again,
                a_thousand_steps_and_not_one_more, steps_end_with_the_success,
                a_note_needs_the_latest_claim,
                the_last_words_of_a_run_may_come_after_its_end,
                the_newest_progress_is_what_counts, lines_come_in_order_and_once,
                the_newest_lines_are_kept, notes_go_with_their_task,
            ]
            nodes: [
                a_silent_node_is_dead_and_its_tasks_are_orphans, a_beat_keeps_a_node_alive,
                orphans_are_settled_by_anybody_once,
                a_node_that_comes_back_is_told_and_its_old_runs_stay_lost,
                a_run_that_ends_in_spite_of_it_all_counts,
                a_dead_node_without_tasks_is_forgotten, a_node_leaves_when_it_owns_nothing,
                who_beats_is_listed_with_what_it_runs,
                stop_requests_are_told_to_the_owner_until_the_run_ends,
                a_lost_run_that_was_asked_to_stop_is_not_repeated,
            ]
            amend: [
                cancel_ends_what_waits_at_once, cancel_asks_a_run_to_stop_once,
                what_does_not_apply_changes_nothing, several_ids_are_changed_in_one_step,
                remove_forgets_what_does_not_run, a_filter_is_worked_off_in_steps,
                a_filter_counts_what_waits_for_others_too, a_filter_takes_only_what_matches,
                an_abandoned_round_does_not_hide_tasks_from_the_next,
            ]
            revival: [
                every_ended_task_can_be_revived, a_revival_resets_budgets_and_results,
                a_revived_task_stands_at_the_back,
                a_revival_takes_its_key_or_does_not_happen, a_superseded_task_may_come_back,
                a_revived_task_expires_no_more, a_revived_task_waits_for_revived_blockers,
                a_revived_task_forgives_ended_blockers,
                what_needs_a_blocker_that_stays_undone_does_so_too,
                a_revival_leaves_the_throttle_as_it_was,
            ]
            cells: [
                a_swap_needs_the_value_that_is_there, due_cells_come_soonest_first,
                a_cell_becomes_due_in_time,
                cells_are_listed_by_what_their_keys_begin_with, cells_and_tasks_do_not_meet,
            ]
            reading: [
                records_come_in_the_order_of_their_ids,
                a_list_has_all_tasks_once_newest_first,
                a_list_goes_on_where_it_was_while_tasks_come_and_go,
                the_id_of_a_task_is_a_cursor_too, a_foreign_cursor_is_an_error, filters_pick_states,
                filters_pick_queues_kinds_groups_and_times,
                a_search_looks_at_names_inputs_and_errors_in_any_case,
                counts_are_those_of_the_tasks,
            ]
            retention: [
                the_newest_are_kept_by_count, age_counts_from_the_end,
                bytes_are_those_of_inputs_and_outputs,
                each_final_state_has_limits_of_its_own, the_tightest_limit_wins,
                what_has_not_ended_is_kept, a_revived_task_counts_from_its_new_end,
                a_pruned_id_is_free_and_its_epochs_are_not, a_key_outlives_no_pruned_task,
                many_are_pruned_in_bounded_steps,
            ]
        }
    };
}

macro_rules! list {
    ($($topic:ident: [$($name:ident,)*])*) => {
        /// Every check.
        pub fn all() -> Vec<Check> {
            vec![$($(Check {
                topic: stringify!($topic),
                name: stringify!($name),
                run: |stage| Box::pin($topic::$name(stage)),
            },)*)*]
        }
    };
}

store_checks!(list);
