// What the role of a token may do, so that nothing is offered that the API would refuse. Of an unknown role
// everything is offered, and the API decides.

function is_one_of(caller, roles) {
  return !caller?.role || roles.includes(caller.role);
}

/** Triage, and decide on actions. */
export function may_triage(caller) {
  return is_one_of(caller, ["analyst", "admin"]);
}

/** Stop what machines do, which is for all tenants. */
export function may_stop(caller) {
  return may_triage(caller) && !caller?.tenant;
}

/** Let machines act again. */
export function may_start(caller) {
  return may_audit(caller) && !caller?.tenant;
}

export function may_audit(caller) {
  return is_one_of(caller, ["admin"]);
}
