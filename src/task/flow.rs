//! Tasks that wait for each other.

use std::borrow::Borrow;
use std::collections::HashMap;

use super::id::TaskId;
use super::spec::Spec;

/// A circle among tasks of one push, as a path that ends where it began; `None` if there is none.
/// Tasks pushed earlier cannot wait for later ones, so one push is all that has to be looked at.
pub fn cycle<S: Borrow<Spec>>(specs: &[S]) -> Option<Vec<TaskId>> {
    let specs: Vec<&Spec> = specs.iter().map(Borrow::borrow).collect();
    if specs.iter().all(|spec| spec.blockers.is_none()) {
        return None;
    }
    // Of an id that comes twice the first is the task.
    let at: HashMap<&TaskId, usize> =
        specs.iter().enumerate().rev().map(|(at, spec)| (&spec.id, at)).collect();
    let blockers = |node: usize| specs[node].blockers.as_ref().map_or(&[][..], |blockers| &blockers.ids);
    // Depth first without recursion: a chain may be as long as a push.
    let (mut done, mut on_path) = (vec![false; specs.len()], vec![false; specs.len()]);
    for start in 0..specs.len() {
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if done[node] {
                path.pop();
                continue;
            }
            on_path[node] = true;
            let Some(id) = blockers(node).get(*next) else {
                (done[node], on_path[node]) = (true, false);
                path.pop();
                continue;
            };
            *next += 1;
            match at.get(id) {
                Some(&blocker) if on_path[blocker] => {
                    let from = path.iter().position(|(node, _)| *node == blocker).expect("it is on the path");
                    let circle = path[from..].iter().map(|(node, _)| *node).chain([blocker]);
                    return Some(circle.map(|node| specs[node].id.clone()).collect());
                }
                Some(&blocker) if !done[blocker] => path.push((blocker, 0)),
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Blockers, OnBlockerFailure};

    fn specs(edges: &[(&str, &[&str])]) -> Vec<Spec> {
        let one = |(id, after): &(&str, &[&str])| Spec {
            id: TaskId::from(*id),
            blockers: Some(Blockers {
                ids: after.iter().map(|id| TaskId::from(*id)).collect(),
                on_failure: OnBlockerFailure::Cancel,
            }),
            ..Spec::new("kind", "null")
        };
        edges.iter().map(one).collect()
    }

    fn path(edges: &[(&str, &[&str])]) -> Option<Vec<String>> {
        cycle(&specs(edges)).map(|path| path.iter().map(TaskId::to_string).collect())
    }

    #[test]
    fn names_the_path() {
        assert_eq!(path(&[("a", &["a"])]).unwrap(), ["a", "a"]);
        assert_eq!(
            path(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]).unwrap(),
            ["a", "b", "c", "a"]
        );
    }

    #[test]
    fn a_diamond_is_no_circle_and_a_long_chain_is_no_problem() {
        assert_eq!(path(&[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &["elsewhere"])]), None);
        let ids: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        let chain: Vec<Spec> =
            ids.windows(2).flat_map(|pair| specs(&[(pair[0].as_str(), &[pair[1].as_str()])])).collect();
        assert!(cycle(&chain).is_none());
    }
}
