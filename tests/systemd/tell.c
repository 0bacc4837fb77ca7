/* Writes its words and variables to /run/told/UNIT: the count of words, then all of them, each with a NUL. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **words)
{
	char group[4096] = "", path[4200], number[16];
	int file = open("/proc/self/cgroup", O_RDONLY);
	ssize_t length = read(file, group, sizeof group - 1);
	while (length > 0 && group[length - 1] == '\n')
		group[--length] = 0;
	snprintf(path, sizeof path, "/run/told/%s", strrchr(group, '/') + 1);
	file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	write(file, number, snprintf(number, sizeof number, "%d", count) + 1);
	for (int word = 0; word < count; word++)
		write(file, words[word], strlen(words[word]) + 1);
	for (char **variable = environ; *variable; variable++)
		write(file, *variable, strlen(*variable) + 1);
	return 0;
}
