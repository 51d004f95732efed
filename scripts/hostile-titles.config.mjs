// For the titles of test/hostile: the project's own configuration would ask for an engine, and build an image.
export default {};
