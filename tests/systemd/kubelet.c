/* Starts kubelet.py under a kubelet's name. A kubelet is a program and no script: of a script it is not asked for a
 * version. A kubelet's process is called kubelet; that of a script would be called python3. */
#include <unistd.h>

#define MOST 256

int main(int count, char **words)
{
	char *started[MOST + 3] = {"/usr/bin/kubelet", "/usr/lib/standin/kubelet.py", "--"};
	for (int word = 1; word < count && word < MOST; word++)
		started[word + 2] = words[word];
	execv("/usr/bin/python3", started);
	return 126;
}
