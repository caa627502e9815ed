//! Creating, ending, deleting.

use std::time::Duration;

use agent::runtime::*;

use crate::support::*;

#[test]
fn exit_codes_and_output() {
    if !possible() {
        return;
    }
    let world = World::new();
    let spec = world.spec("code", "echo out $GREETING; echo err >&2; exit 7");
    let exit = world.run(&spec);
    assert_eq!((exit.cause, exit.stopped_by), (ExitCause::Code(7), None));
    assert_eq!(world.output("code"), "out hello\nerr\n");
    world.runtime.delete(&spec.id).unwrap();
    world.assert_clean();
}
