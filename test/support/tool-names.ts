/** Every tool, in the order that clients see. */
export const TOOL_NAMES = [
  'execute_python',
  'run_command',
  'install_dependencies',
  'list_installed_packages',
  'write_file',
  'read_file',
  'list_files',
  'delete_file',
  'get_execution',
  'cancel_execution',
  'snapshot_session',
  'fork_session',
  'list_sessions',
  'close_session',
];
